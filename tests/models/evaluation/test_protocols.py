"""Published protocols on a data set: which clips, what of the model, and what stops a training."""

import json
from types import SimpleNamespace

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from models.evaluation import evaluation, protocol_checks, protocol_outputs, protocols
from models.evaluation.result import ProtocolSettings, Settings
from pipeline.config.fields import protocol_names
from pipeline.errors import UserError
from pipeline.metrics.protocols import get
from pipeline.metrics.protocols._base import MAPS, PROBABILITIES, SEGMENTS, Options
from testing import toy
from testing.untrained import build_untrained_model

LIST = "vgg_test_5_per_class_for_retrieval_template.json"


@pytest.fixture(scope="module")
def model():
    return build_untrained_model()


@pytest.fixture(scope="module")
def rows(folder):
    fields = {"audio": None, "video": None}
    return [row | fields for row in pq.read_table(folder / "clips.parquet").to_pylist()]


def write_list(folder, ids):
    (folder / LIST).write_text(json.dumps({"data": [{"video_id": name} for name in ids]}))


def evaluate(model, data, rows, lists, names=("vggsound_retrieval",), allowed=(), windows=4):
    settings = ProtocolSettings(tuple(names), str(lists), allowed, rows, windows, "diagonal_mean")
    return protocols.evaluate(model, data, settings, 100, 0)


def test_the_evaluation_of_a_model_has_its_protocols(model, data, rows, tmp_path):
    own = ProtocolSettings(("vggsound_retrieval",), str(tmp_path), (), rows, 4, "diagonal_mean")
    metrics = evaluation.evaluate(model, data, Settings("clip", "category", 100, 0, protocols=own)).metrics
    assert list(metrics) == ["correspondence", "retrieval", "protocol"]
    assert metrics["protocol"] == evaluate(model, data, rows, tmp_path)


def test_without_a_list_the_test_split_is_evaluated(model, data, rows, tmp_path, capsys):
    result = evaluate(model, data, rows, tmp_path)["vggsound_retrieval"]
    assert result["clips"] == "test split" and result["n"] == len(data.indices("test")) == 16
    assert "16 clips of the test split (no vgg_test" in capsys.readouterr().out
    # A list none of whose clips are in the data.
    write_list(tmp_path, ["other_000001"])
    again = evaluate(model, data, rows, tmp_path)["vggsound_retrieval"]
    assert again == result
    assert "none of its clips is in the data" in capsys.readouterr().out


def test_exactly_the_published_clips_are_evaluated(model, data, rows, tmp_path):
    test = [data.clip_id[i] for i in data.indices("test")]
    write_list(tmp_path, [test[3], "other_000001", *test[5:9]])
    result = evaluate(model, data, rows, tmp_path)["vggsound_retrieval"]
    assert result["clips"] == "published" and result["n"] == 5
    assert result["n_listed"] == 6 and result["missing"] == {"not in the data": 1}
    assert result["audio_to_video"]["chance"]["recall_1"] == pytest.approx(1 / 5)


def test_an_unusable_clip_is_missing_with_its_status(model, data, rows, tmp_path, monkeypatch):
    test = [data.clip_id[i] for i in data.indices("test")]
    monkeypatch.setattr(protocols, "_reasons", lambda data: {"gone": "no_audio"})
    write_list(tmp_path, [*test[:3], "gone", "left_out"])
    others = [{"clip_id": name, "audio": None, "video": None} for name in ("gone", "left_out")]
    result = evaluate(model, data, rows + others, tmp_path)["vggsound_retrieval"]
    assert result["missing"] == {"no_audio": 1, "not usable": 1} and result["n_missing"] == 2


def test_clips_of_the_test_that_are_learnt_from_stop_the_run(model, data, rows, tmp_path, monkeypatch):
    train, val, test = ([data.clip_id[i] for i in data.indices(split)] for split in ("train", "val", "test"))
    write_list(tmp_path, [*train[:5], *val[:2], *test])
    params = SimpleNamespace(
        evaluate=SimpleNamespace(protocols=["vggsound_retrieval"], allow_overlap=[]),
        data=SimpleNamespace(subset_lists=str(tmp_path)),
    )
    message = r"vggsound_retrieval: 7 clips of its test are learnt from \(5 train, 2 choose the epoch\)"
    with pytest.raises(UserError, match=message):
        evaluate(model, data, rows, tmp_path)
    monkeypatch.setattr(protocol_checks.clip_table, "read", lambda path: pa.Table.from_pylist(rows))
    with pytest.raises(UserError, match=message):
        protocol_checks.check_training(params, ("pairs",), data)
    params.evaluate.allow_overlap = ["vggsound_retrieval"]
    protocol_checks.check_training(params, ("pairs",), data)
    allowed = ("vggsound_retrieval",)
    result = evaluate(model, data, rows, tmp_path, allowed=allowed)["vggsound_retrieval"]
    assert result["n"] == 23 and result["n_training"] == 7


def test_a_protocol_that_the_model_cannot_answer_stops_the_run(model, data, rows, tmp_path):
    with pytest.raises(UserError, match="vggsounder needs probabilities, which need task: classification"):
        evaluate(model, data, rows, tmp_path, names=["vggsounder"])


def test_windows_are_those_around_evenly_spaced_frames(model, data):
    clips = data.indices("test")
    windows = protocol_outputs.embed_windows(model, data, clips, Options(windows=4))
    audio = windows.embeddings["audio"]
    assert audio.shape[:2] == (16, 4)
    # Clips of 0.4 s, windows of 0.2 s, pictures at 0, 0.1, 0.2 and 0.3 s: columns are 10 ms apart.
    moments = np.array([[0, 0.1, 0.2, 0.3]] * len(clips))
    places = list(protocol_outputs._places(data, clips, moments))
    assert [data.locate_windows(clips, *place)[0][0] for place in places] == [0, 0, 10, 20]
    assert [data.locate_windows(clips, *place)[1][0, 0] for place in places] == [0, 0, 1, 2]
    assert audio[:, 0] == pytest.approx(audio[:, 1], abs=1e-5)
    single = protocol_outputs.embed_windows(model, data, clips, Options(windows=1))
    assert single.embeddings["audio"][:, 0] == pytest.approx(model.embed(data, clips)[0], abs=1e-6)


def test_equal_windows_are_embedded_once(model, tmp_path):
    """Clips that are as long as a window, with one picture each."""
    audio = SimpleNamespace(**vars(toy.AUDIO) | {"window_seconds": 0.4})
    data = toy.load(toy.write(tmp_path / "toy", counts=(2, 2, 2), frames=1), audio=audio)
    windows = protocol_outputs.embed_windows(model, data, np.arange(2), Options(windows=16))
    assert windows.embeddings["video"].shape[1] == 1


# What a protocol needs -> a model that computes it.
MODELS = {
    MAPS: {"video_encoder": "avolnet", "matcher": "localize", "loss": "bce"},
    PROBABILITIES: {"task": "classification"},
    SEGMENTS: {"task": "classification"},
}


@pytest.mark.parametrize("name", protocol_names())
def test_every_protocol_measures_any_data_and_has_a_blind_guess_and_intervals(name, data, rows, tmp_path):
    protocol = get(name)
    model = build_untrained_model(**MODELS.get(protocol.needs, {}))
    boxes = {"box": [0.1, 0.1, 0.5, 0.6], "second_box": [0.5, 0.1, 0.9, 0.9], "aspect": 1.25}
    annotated = [row | {"subject": f"person {i % 3}"} | boxes for i, row in enumerate(rows)]
    result = evaluate(model, data, annotated, tmp_path, names=[name], windows=2)[name]
    assert result["clips"] == "test split" and result["n"] >= 16
    sections = [part for part in (result, *result.values()) if isinstance(part, dict) and "ci" in part]
    assert sections
    for part in sections:
        assert part["n"] > 0
        for metric, interval in part["ci"].items():
            assert len(interval) == 2 and interval[0] <= part[metric] <= interval[1] or part[metric] is None
        assert part.get("chance", {}).keys() <= part.keys()
    for text in (*protocol.lists, protocol.data, protocol.measures, protocol.blind_guess, protocol.source):
        assert text and "\n" not in text


def test_what_the_truth_of_other_data_needs(model, data, rows, tmp_path):
    unknown = [row | {"subject": None} for row in rows]
    with pytest.raises(
        UserError, match="voxceleb1_o: no clip to evaluate: none of the test split has its truth"
    ):
        evaluate(model, data, unknown, tmp_path, names=["voxceleb1_o"])


def test_events_are_found_in_time_by_a_model_of_pairs(model, data, rows, tmp_path):
    result = evaluate(model, data, rows, tmp_path, names=["ave"])["ave"]
    assert result["n"] == result["n_segments"] == 16  # of 0.4 s each: no second is outside of the event
    assert result["n_short_events"] == 0 and "localization" not in result
