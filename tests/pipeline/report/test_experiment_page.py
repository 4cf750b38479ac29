import base64
import io
import json
import re
import wave
from html.parser import HTMLParser

import av
import cv2
import numpy as np
import pytest

from pipeline.metrics import correspondence, retrieval
from pipeline.report import charts, data_uri, experiment_page, plots
from pipeline.report.data import ReportData
from pipeline.report.galleries import DIRECTIONS
from pipeline.report.metric_tables import describe_metric, metric_tables

EVIL = "<script>alert('x')</script>\" onload=\"x()"


def wav(seconds=1.0, rate=16000, pitch=440.0):
    samples = 0.4 * np.sin(2 * np.pi * pitch * np.arange(round(seconds * rate)) / rate)
    file = io.BytesIO()
    with wave.open(file, "wb") as out:
        out.setnchannels(1)
        out.setsampwidth(2)
        out.setframerate(rate)
        out.writeframes((samples * 32767).astype("<i2").tobytes())
    return file.getvalue()


def example(n=12, label="Flute", seconds=0.3):
    rng = np.random.default_rng(0)
    kinds = [[label], ["Drum"]]
    clips = {
        f"clip_{i}": {
            "labels": kinds[i % 2],
            "image": rng.integers(0, 255, (48, 64, 3), np.uint8),
            "wav": wav(seconds, pitch=200 + 10 * i),
        }
        for i in range(n)
    }
    ids = list(clips)
    rows = [
        {
            "query": ids[q],
            "results": [
                {"clip_id": ids[r], "score": 0.5, "relevant": r % 2 == q % 2} for r in range(min(5, n))
            ],
        }
        for q in range(min(3, n))
    ]
    embeddings = {m: rng.normal(size=(n, 8)) for m in ("audio", "video")}
    matches = np.arange(40) % 2 == 0
    values = rng.normal(size=40) + matches
    return ReportData(
        params={"audio_encoder": "cnn", "loss": "infonce", "data": {"source": "ensemble"}},
        metrics={
            "correspondence": correspondence.evaluate(values, matches, 0.5, bootstrap=50),
            "retrieval": retrieval.evaluate(embeddings, [c["labels"] for c in clips.values()], bootstrap=50),
        },
        history=[{"epoch": e, "train/loss": 1 / (e + 1), "val/loss": str(2 / (e + 1))} for e in range(4)],
        roc=correspondence.roc_curve(values, matches),
        classes={label: 7, "Drum": 5},
        stages=[
            {"stage": "wav", "total": 14, "ok": 12, "reasons": {"no_audio": 2}},
            {"stage": "frames", "total": 14, "ok": 14, "reasons": {}},
        ],
        spectrograms={label: rng.normal(size=(16, 30)), "Drum": rng.normal(size=(16, 30))},
        clips=clips,
        galleries=dict.fromkeys(DIRECTIONS, rows),
    )


class Page(HTMLParser):
    """Collect tags, attributes and text, and check that every open tag is closed."""

    VOID = {"meta", "link", "img", "br", "col", "path", "use", "circle", "input"}

    def __init__(self, text):
        super().__init__()
        self.tags, self.attributes, self.open, self.words = [], [], [], []
        self.feed(text)
        self.close()
        assert self.open == []

    def handle_starttag(self, tag, attrs):
        self.tags.append(tag)
        self.attributes += [(tag, *a) for a in attrs]
        if tag not in self.VOID:
            self.open.append(tag)

    def handle_startendtag(self, tag, attrs):
        self.tags.append(tag)
        self.attributes += [(tag, *a) for a in attrs]

    def handle_endtag(self, tag):
        assert self.open.pop() == tag

    def handle_data(self, data):
        if self.open and self.open[-1] not in ("script", "style"):
            self.words.append(data)


def render(data, tmp_path):
    path = experiment_page.write_report(data, tmp_path / "report" / "index.html")
    text = path.read_text(encoding="utf-8")
    page = Page(text)
    return text, page, " ".join(" ".join(page.words).split())


def sounds_of(text):
    return json.loads(re.search(r'id="sounds">(.*?)</script>', text, re.S)[1])


def test_content(tmp_path):
    data = example()
    text, page, words = render(data, tmp_path)
    accuracy = data.metrics["correspondence"]
    for expected in (
        f"{accuracy['accuracy']:.3f}",
        f"{accuracy['ci']['accuracy'][0]:.3f}",
        "chance 0.500",
        "n = 40",
        "14 clips of the synthetic ensemble",
        "no_audio the file has no sound track",
        "12 of 14 ok",
        "same label",
        "other label",
        "counterpart",
        "Sound to picture",
        "Picture to sound",
        "Sound to sound",
        "Picture to picture",
        "data.source",
    ):
        assert expected in words, expected
    assert page.tags.count("img") == 2  # spectrograms
    assert page.tags.count("audio") == 1 and ("audio", "preload", "none") in page.attributes
    assert text.count('class="chart"') == 2  # loss, ROC


def test_the_page_loads_no_other_file(tmp_path):
    text, page, _ = render(example(), tmp_path)
    for tag, name, value in page.attributes:
        if name in ("src", "href", "xlink:href", "action", "srcset", "poster"):
            assert value.startswith(("data:", "#")), (tag, name, value[:80])
    assert "http://" not in text and "https://" not in text and "@import" not in text
    policy = next(v for t, n, v in page.attributes if t == "meta" and n == "content" and "default-src" in v)
    assert policy.startswith("default-src 'none'")


def test_each_clip_of_a_gallery_is_encoded_once(tmp_path):
    data = example(20)
    text, _, _ = render(data, tmp_path)
    gallery_ids = {r["clip_id"] for row in data.galleries["audio_to_video"] for r in row["results"]}
    assert len(sounds_of(text)) == len(gallery_ids) == 5
    assert text.count("background-image: url(data:image/jpeg") == 5
    assert text.count("data:audio/mpeg") == 5
    keys = set(re.findall(r'data-sound="(\w+)"', text))
    assert keys == set(sounds_of(text))


def test_hostile_text_stays_text(tmp_path):
    data = example(label=EVIL)
    data.description = {"question": EVIL, "summary": EVIL, "facts": {EVIL: EVIL}}
    data.params["data"]["source"] = EVIL
    data.clips[EVIL] = data.clips.pop("clip_0") | {"labels": []}
    for rows in data.galleries.values():
        for row in rows:
            row["query"] = EVIL if row["query"] == "clip_0" else row["query"]
            for r in row["results"]:
                r["clip_id"] = EVIL if r["clip_id"] == "clip_0" else r["clip_id"]
    data.stages[0]["stage"] = EVIL
    data.stages[0]["reasons"] = {EVIL: 2}
    data.history.append({"epoch": 4, f"train/{EVIL}": 1.0})
    data.metrics["retrieval"][EVIL] = data.metrics["retrieval"]["audio_to_audio"]
    data.metrics["correspondence"][EVIL] = 0.5
    text, page, words = render(data, tmp_path)
    assert "<script>alert" not in text and 'onload="' not in text
    assert page.tags.count("script") == 2
    assert not [a for a in page.attributes if a[1].startswith("on")]
    assert "<script>alert('x')</script>" in words


def test_the_policy_allows_only_the_script_of_the_page(tmp_path):
    import hashlib

    text, _, _ = render(example(), tmp_path)
    script = re.findall(r"<script>(.*?)</script>", text, re.S)
    assert len(script) == 1
    digest = base64.b64encode(hashlib.sha256(script[0].encode()).digest()).decode()
    assert f"script-src 'sha256-{digest}'" in text.replace("&#43;", "+")


def test_empty_report(tmp_path):
    _, page, words = render(ReportData(), tmp_path)
    assert "no results yet" in words
    assert "h1" in page.tags


def test_without_labels_and_with_three_clips(tmp_path):
    data = example(3)
    for clip in data.clips.values():
        clip["labels"] = []
    for rows in data.galleries.values():
        for row in rows:
            for r in row["results"]:
                r["relevant"] = None
    data.classes, data.spectrograms, data.history, data.roc = {}, {}, [], []
    embeddings = {m: np.eye(3) for m in ("audio", "video")}
    data.metrics["retrieval"] = retrieval.evaluate(embeddings, bootstrap=20)
    text, _, words = render(data, tmp_path)
    assert "no labels" in words and "need labels that test clips share" in words
    assert "clip_1" in words and "None" not in words and "nan" not in words.lower().split()
    assert 'class="mark wrong"' not in text.split('class="gallery"', 1)[1]


def test_a_result_no_better_than_chance_is_marked(tmp_path):
    metrics = {"accuracy": 0.52, "auc": 0.8, "n": 50, "ci": {"accuracy": [0.4, 0.6], "auc": [0.7, 0.9]}}
    metrics["chance"] = {"accuracy": 0.5, "auc": 0.5}
    _, _, words = render(ReportData(metrics={"correspondence": metrics}), tmp_path)
    assert words.count("Not significantly better than chance") == 1


def test_missing_numbers(tmp_path):
    metrics = {
        "correspondence": {"accuracy": None, "auc": 0.7, "n": 4, "ci": {"accuracy": None, "auc": None}}
    }
    data = ReportData(metrics=metrics, history=[{"epoch": 0, "val/loss": float("nan"), "train/loss": ""}])
    text, _, words = render(data, tmp_path)
    assert "0.700" in words and 'class="chart"' not in text


def test_clips_without_picture_or_sound(tmp_path):
    data = example()
    data.clips["clip_0"]["image"] = None
    data.clips["clip_1"]["wav"] = None
    data.clips["clip_2"]["wav"] = wav(0.0)
    text, _, words = render(data, tmp_path)
    assert "no picture" in words
    assert len(sounds_of(text)) == 3


def test_a_bad_clip_is_an_error(tmp_path):
    data = example()
    data.clips["clip_1"]["wav"] = b"no sound"
    with pytest.raises(ValueError, match="clip clip_1: a sound must be 16-bit WAV"):
        experiment_page.write_report(data, tmp_path / "index.html")
    data = example()
    del data.clips["clip_1"]
    with pytest.raises(ValueError, match="clip_1"):
        experiment_page.write_report(data, tmp_path / "index.html")


def test_a_large_page_is_small_and_reproducible(tmp_path):
    data = example(120, seconds=4.0)
    ids = list(data.clips)
    for start, direction in enumerate(DIRECTIONS):
        data.galleries[direction] = [
            {
                "query": ids[(start * 36 + q) % 120],
                "results": [
                    {"clip_id": ids[(start * 36 + q * 6 + r) % 120], "score": 0.1, "relevant": True}
                    for r in range(5)
                ],
            }
            for q in range(6)
        ]
    first = experiment_page.write_report(data, tmp_path / "a.html").read_bytes()
    assert len(first) < 3_000_000
    assert experiment_page.write_report(data, tmp_path / "b.html").read_bytes() == first


@pytest.mark.parametrize("rate", [8000, 16000, 22050, 44100, 48000])
def test_mp3_has_the_duration_and_pitch_of_its_source(rate):
    samples, wav_rate = data_uri.decode_wav(wav(1.5, rate, 440.0))
    assert wav_rate == rate
    uri = data_uri.mp3_uri(samples, rate, 1.0)
    content = base64.b64decode(uri.removeprefix("data:audio/mpeg;base64,"))
    assert len(content) < 6000
    with av.open(io.BytesIO(content)) as file:
        decoded = np.concatenate([f.to_ndarray().ravel() for f in file.decode(audio=0)])
        out_rate = file.streams.audio[0].rate
    assert len(decoded) / out_rate == pytest.approx(1.0, abs=0.15)
    spectrum = np.abs(np.fft.rfft(decoded * np.hanning(len(decoded))))
    assert np.argmax(spectrum) * out_rate / len(decoded) == pytest.approx(440, abs=3)


def test_picture_of_a_spectrogram_has_low_frequencies_at_the_bottom():
    import cv2

    values = np.zeros((64, 20))
    values[:8] = 1.0
    content = base64.b64decode(data_uri.spectrogram_uri(values).split(",", 1)[1])
    picture = cv2.imdecode(np.frombuffer(content, np.uint8), cv2.IMREAD_GRAYSCALE)
    assert picture.shape == (160, 400)
    assert picture[-10:].mean() > 150 and picture[:80].mean() < 20


@pytest.mark.parametrize(
    "values", [np.zeros((4, 5)), np.full((4, 5), np.nan), np.array([[np.inf, 0.0, -np.inf]])]
)
def test_spectrograms_without_any_contrast(values):
    assert data_uri.spectrogram_uri(values).startswith("data:image/jpeg")


def test_a_map_is_bright_where_its_largest_value_is():
    values = np.zeros((4, 4))
    values[0, 3] = 0.2  # maps have any scale
    uri = data_uri.heatmap_uri(np.full((64, 64, 3), 60, np.uint8), values)
    content = np.frombuffer(base64.b64decode(uri.partition(",")[2]), np.uint8)
    brightness = cv2.imdecode(content, cv2.IMREAD_COLOR).mean(2)
    assert brightness[:8, -8:].mean() > 100 + brightness[-32:, :32].mean()
    assert data_uri.heatmap_uri(np.full((64, 64, 3), 60, np.uint8), np.ones((4, 4)))  # a constant map


def test_bad_pictures_are_an_error():
    for bad in (np.zeros((4, 4), np.uint8), np.zeros((4, 4, 3), np.float32), np.zeros((0, 4, 3), np.uint8)):
        with pytest.raises(ValueError, match="a picture must be"):
            data_uri.jpeg_uri(bad)
    with pytest.raises(ValueError, match="a spectrogram must be"):
        data_uri.spectrogram_uri(np.zeros(5))


@pytest.mark.parametrize(
    ("low", "high", "expected"),
    [(0, 1, [0, 0.2, 0.4, 0.6, 0.8, 1]), (0.3, 4.1, [0, 1, 2, 3, 4, 5]), (-3, 7, [-4, -2, 0, 2, 4, 6, 8])],
)
def test_ticks(low, high, expected):
    assert charts.round_ticks(low, high) == pytest.approx(expected)


def test_ticks_of_one_value_and_of_tiny_and_huge_ranges():
    for low, high in ((2.0, 2.0), (0.0, 0.0), (1e-9, 2e-9), (-1e12, 1e12)):
        ticks = charts.round_ticks(low, high)
        assert 2 <= len(ticks) <= 12 and ticks[0] <= low and ticks[-1] >= high


def test_chart_of_one_point_and_of_50000():
    assert "<circle" in charts.draw_lines({"train": [(0.0, 1.0)]}, "one", "epoch", "loss")
    svg = charts.draw_lines(
        {"train": [(float(i), float(i % 7)) for i in range(50_000)]}, "many", "step", "loss"
    )
    assert len(svg) < 12_000 and "nan" not in svg
    assert charts.draw_lines({"train": []}, "none", "epoch", "loss") == ""


@pytest.mark.parametrize("count", [0, 1, 5, 30])
def test_spectrogram_plot(tmp_path, count):
    spectrograms = {f"$kind_{i}$ <b>": np.random.default_rng(i).normal(size=(16, 20)) for i in range(count)}
    path = plots.save_spectrograms(tmp_path / "plots" / "s.jpg", spectrograms, seconds=4.0)
    assert path.read_bytes().startswith(b"\xff\xd8")
    again = plots.save_spectrograms(tmp_path / "again.jpg", spectrograms, seconds=4.0)
    assert again.read_bytes() == path.read_bytes()


def test_the_embedding_map_has_sounds_and_pictures_by_class(tmp_path):
    points = [
        {"clip_id": f"c{i}", "kind": kind, "label": label, "x": float(i), "y": float(-i)}
        for i, (kind, label) in enumerate(
            [("sound", "Bell"), ("picture", "Bell"), ("sound", EVIL), ("picture", "")]
        )
    ]
    text = experiment_page.write_report(ReportData(embedding_map=points), tmp_path / "r.html").read_text()
    assert text.count('<circle class="hue') == 2 and text.count('<rect class="hue') == 1
    assert "<title>sound: Bell (c0)</title>" in text and "1 of rare classes" in text and EVIL not in text


def test_without_points_there_is_no_embedding_map(tmp_path):
    assert "Embedding map" not in experiment_page.write_report(ReportData(), tmp_path / "r.html").read_text()


def test_the_page_of_a_classifier(tmp_path):
    rows = [("a", "happy", "happy"), ("b", "happy", "sad"), ("c", "sad", "sad"), ("d", "<b>sad", "happy")]
    section = {"accuracy": 0.5, "ece": 0.2, "n": 4, "ci": {"accuracy": [0.3, 0.7], "ece": [0.1, 0.3]}}
    errors = {"eer": 0.2, "n": 9, "ci": {"eer": [0.1, 0.3]}, "chance": {"eer": 0.5}}
    per_class = {"class": "sad", "n": 1, "precision": "0.5", "recall": "1.0", "f1": "0.667", "ap": ""}
    path = experiment_page.write_report(
        ReportData(
            params={"label": "emotion"},
            description={
                "question": "What do they feel?",
                "summary": "a network, trained to tell the emotion",
            },
            metrics={
                "classification": section,
                "without": {"audio": section},
                "verification": {"both": errors},
            },
            confusion=[{"clip_id": c, "actual": a, "predicted": p} for c, a, p in rows],
            calibration=[{"confidence": "0.6", "accuracy": "0.5"}, {"confidence": "0.9", "accuracy": "1"}],
            per_class=[per_class | {"f1_low": "", "f1_high": ""}],
            faceless=[{"clip_id": f"<i>{i}", "image": np.zeros((20, 30, 3), np.uint8)} for i in range(30)],
        ),
        tmp_path / "index.html",
    )
    page = path.read_text()
    assert "What do they feel?" in page and "Without sound" in page and "trained to tell the emotion" in page
    assert "1 of 2 happy predicted as sad" in page and "<b>sad" not in page and "&lt;b&gt;sad" in page
    assert page.count('class="own"') == 3 and "EER" in page and "<h2>Classes</h2>" in page
    assert "30 clips in which the stage faces detected no face; 24 are shown" in page and "&lt;i&gt;0" in page
    # An error rate below chance is better than chance; accuracy has no chance value here.
    assert "Not significantly better than chance" not in page


def test_error_rates_are_compared_with_chance():
    measure = describe_metric({"eer": 0.45, "n": 9, "ci": {"eer": [0.3, 0.6]}, "chance": {"eer": 0.5}}, "eer")
    assert measure["no_better"]
    measure = describe_metric({"eer": 0.2, "n": 9, "ci": {"eer": [0.1, 0.3]}, "chance": {"eer": 0.5}}, "eer")
    assert not measure["no_better"]


def test_protocols_have_a_table_for_each_section():
    section = {"recall_1": 0.5, "median_rank": 3.0, "n": 4, "ci": {"recall_1": [0.2, 0.8]}}
    section |= {"chance": {"recall_1": 0.25, "median_rank": 2.5}}
    facts = {"clips": "published", "n_listed": 6, "n_missing": 2, "missing": {"no_audio": 2}, "n_training": 1}
    metrics = {
        "protocol": {
            "vggsound_retrieval": facts | {"n": 4, "audio_to_video": section},
            "voxceleb1_o": {"clips": "test split", "n": 3, "audio": {"min_dcf": 0.01, "n": 3, "ci": {}}},
        }
    }
    retrieval_table, voices = metric_tables(metrics)[-2:]
    assert retrieval_table["name"] == "Protocol vggsound_retrieval: audio to video"
    assert retrieval_table["text"] == "4 of the 6 published clips. 1 of them were learnt from."
    recall, rank = retrieval_table["rows"]
    assert recall["meaning"] == "the counterpart is first" and recall["measure"]["no_better"]
    assert rank["label"] == "Median rank" and rank["measure"]["no_better"]  # a lower rank is better
    assert voices["text"] == "The clips of the test split, not those of the published list."
    assert "P = 0.01" in voices["rows"][0]["meaning"]
