"""AVE by the second: classes of segments, and events in time, worked out by hand."""

import numpy as np
import pytest

from pipeline.errors import UserError
from pipeline.metrics import protocols
from pipeline.metrics.protocols._base import Options, Segments, Subset
from pipeline.metrics.protocols.ave import Event

PROTOCOL = protocols.get("ave")
OPTIONS = Options(bootstrap=50)
TRUTH = [Event(("dog",), 1, 3), Event(("cat",), 0, 10)]
SUBSET = Subset(["a", "b"], TRUTH, ["a", "b"])


def one_hot(*columns):
    return np.eye(3)[np.array(columns)]


def test_classes_of_segments():
    """Clips of 4 and 3 s. With the class background, 5 of 7 seconds are right; of 5 in events, 4."""
    p = one_hot([2, 0, 0, 0], [1, 1, 2, 2])
    outputs = Segments(np.array([4, 3]), ["dog", "cat", "background"], p)
    result = PROTOCOL.evaluate(outputs, SUBSET, OPTIONS)
    assert result["n"] == 2 and result["n_segments"] == 7
    segments = result["segments"]
    assert segments["accuracy"] == pytest.approx(5 / 7, abs=1e-6) and segments["n"] == 7
    assert segments["event_accuracy"] == pytest.approx(4 / 5)
    # Always cat: 3 of 7, and 3 of 5 in events.
    assert segments["chance"] == {"accuracy": pytest.approx(3 / 7, abs=1e-6), "event_accuracy": 0.6}
    assert segments["ci"]["event_accuracy"] == [pytest.approx(2 / 3, abs=1e-6), 1.0]
    assert "localization" not in result


def test_without_a_background_class():
    """A multilabel model says background where no class is above one half; another one never does."""
    p = np.array([[[0.4, 0.3, 0.0], [0.6, 0.3, 0.0], [0.9, 0.3, 0.0], [0.1, 0.3, 0.0]]] * 2)
    outputs = Segments(np.array([4, 3]), ["dog", "cat", "bird"], p, multilabel=True)
    assert PROTOCOL.evaluate(outputs, SUBSET, OPTIONS)["segments"]["accuracy"] == pytest.approx(
        4 / 7, abs=1e-6
    )
    outputs = Segments(np.array([4, 3]), ["dog", "cat", "bird"], p)
    assert PROTOCOL.evaluate(outputs, SUBSET, OPTIONS)["segments"]["accuracy"] == pytest.approx(
        2 / 7, abs=1e-6
    )


def test_events_in_time():
    """Sounds and pictures of a clip of 5 s with an event from 1 to 3; the other clip is all event."""
    places = np.eye(5)[None].repeat(2, 0)
    late = places[:, [4, 0, 1, 2, 3]]  # each picture is one second late
    outputs = Segments(np.array([5, 5]), embeddings={"audio": places, "video": places})
    result = PROTOCOL.evaluate(outputs, SUBSET, OPTIONS)
    assert result["n_short_events"] == 1
    assert result["localization"]["audio_to_video"] == result["localization"]["video_to_audio"] == 1
    assert result["localization"]["chance"]["audio_to_video"] == 0.25  # 2 s of 5: 4 places
    outputs = Segments(np.array([5, 5]), embeddings={"audio": places, "video": late})
    assert PROTOCOL.evaluate(outputs, SUBSET, OPTIONS)["localization"]["audio_to_video"] == 0
    flat = Segments(np.array([5, 5]), embeddings={"audio": places * 0, "video": places * 0})
    assert PROTOCOL.evaluate(flat, SUBSET, OPTIONS)["localization"]["audio_to_video"] == 0  # all are tied


def test_ids_and_lists(tmp_path):
    (tmp_path / "testSet.txt").write_text("Category&VideoID&Quality&StartTime&EndTime\nBanjo&abc&good&3&8\n")
    listing = PROTOCOL.read(PROTOCOL.find_list(str(tmp_path)))
    assert listing.truth == {"Banjo&abc": Event(("Banjo",), 3, 8)}
    row = {
        "clip_id": "abc_Banjo",
        "audio": "/x/abc.mp4",
        "video": None,
        "video_id": "abc",
        "labels": ["Banjo"],
    }
    event = row | {"quality": "good"}
    assert "Banjo&abc" not in PROTOCOL.ids(event)  # an event alone has no seconds outside of it
    whole = event | {"event_start": 3.0, "event_end": 8.0}
    assert "Banjo&abc" in PROTOCOL.ids(whole) and PROTOCOL.own_truth(whole) == Event(("Banjo",), 3, 8)
    assert "Banjo&abc" in PROTOCOL.ids(row) and PROTOCOL.own_truth(row).end == np.inf
    for line in ("a&b&good&3", "a&b&good&8&3", "a&b&good&nan&3", "&b&good&1&3"):
        (tmp_path / "testSet.txt").write_text(line)
        with pytest.raises(UserError, match="line 1: not class&video&quality&start&end"):
            PROTOCOL.read(str(tmp_path / "testSet.txt"))
