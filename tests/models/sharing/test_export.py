"""ONNX answers as PyTorch does, a folder is whole or not there, and a card says only what is known."""

import json
from dataclasses import asdict

import numpy as np
import onnxruntime
import pytest
import torch
import yaml
from markdown_it import MarkdownIt
from torch.nn import functional as F

from models import checkpoint
from models.checkpoint import Model
from models.sharing import card, export
from models.sharing.git_source import Origin
from models.version import VERSION
from pipeline.errors import UserError
from testing import toy
from testing.untrained import built

SMALL = {"patch": 8, "width": 24, "heads": 2, "layers": 1, "decoder_width": 16, "decoder_heads": 2}
BOTH, TIME, FRAMES = {"time", "frames"}, {"time"}, {"frames"}


CASES = {  # what is built, and which lengths ONNX has free
    "distance": ({"video_encoder": "shallow"}, BOTH),
    "localize": (
        {
            "audio_encoder": "avenet",
            "video_encoder": "avolnet",
            "loss": "bce",
            "matcher": "localize",
            "sizes": {"audio": {"width": 4}, "video": {"width": 4}},
        },
        BOTH,
    ),
    "siamese, several frames": (
        {
            "audio_encoder": "crnn",
            "video_encoder": "cnn_avg",
            "video_shape": (4, 32, 32, 3),
            "matcher": "siamese",
            "sizes": {"video": {"trunk": "timm/test_resnet"}},
        },
        BOTH,
    ),
    "concat, lengths that are built in": (
        {
            "audio_encoder": "lstm",
            "video_encoder": "cnn",
            "video_shape": (4, 32, 32, 3),
            "matcher": "concat",
            "sizes": {"audio": {"layers": 1}, "video": {"widths": [4, 4]}},
        },
        set(),
    ),
    "pictures alone": ({"video_encoder": "frame", "modality": "video", "pairing": "category"}, FRAMES),
    "sounds alone, of a hub": (
        {"audio_encoder": "torchvision/squeezenet1_1", "modality": "audio", "pairing": "category"},
        TIME,
    ),
    "classification": (
        {
            "task": "classification",
            "audio_encoder": "transformer",
            "video_encoder": "shallow",
            "classification": {},
            "sizes": {"audio": {"layers": 1}},
        },
        FRAMES,
    ),
    "stack": (
        {"task": "classification", "video_encoder": "shallow", "classification": {"fusion": "stack"}},
        TIME,  # each frame has a picture of the sound, as many as the model was built for
    ),
    "stack of sounds": (
        {
            "task": "classification",
            "modality": "audio",
            "video_encoder": "shallow",
            "classification": {"fusion": "stack", "multilabel": True},
        },
        TIME,
    ),
    "cav_mae": (
        {
            "task": "classification",
            "encoder": "cav_mae",
            "classification": {"start": "scratch"},
            "sizes": {"joint": SMALL},
        },
        FRAMES,
    ),
    "pretraining": (
        {"task": "pretraining", "encoder": "cav_mae", "pretraining": {}, "sizes": {"joint": SMALL}},
        FRAMES,
    ),
}


EXPORTED = {
    (kind, changes[f"{kind}_encoder"])
    for changes, _ in CASES.values()
    for kind in ("audio", "video")
    if f"{kind}_encoder" in changes and changes.get("modality", kind) == kind
}


def asked(model: Model, file: str, given: list[torch.Tensor]) -> np.ndarray:
    """PyTorch's answer to what an ONNX file is asked."""
    module, modality = model.module, model.config["modality"]
    with torch.inference_mode():
        if file == "classifier.onnx":
            return (module(*given) if modality == "both" else module(given[0], given[0])).numpy()
        if file == "both.onnx":
            return module.embed_pair(*given)[0].numpy()
    ask = {"audio.onnx": model.embed_audio, "video.onnx": model.embed_video, "matcher.onnx": model.score}
    return ask[file](*given)


@pytest.mark.parametrize("case", CASES)
def test_onnx_answers_as_pytorch(case, tmp_path):
    changes, free = CASES[case]
    model = built(**changes)
    told = export.write_onnx(model, tmp_path)
    sides = ["both"] if case == "stack" else model.module.embedding_names
    last = "classifier" if model.config["task"] == "classification" else "matcher"
    assert list(told) == [f"{name}.onnx" for name in (*sides, last)]
    assert sorted(told) == sorted(path.name for path in tmp_path.iterdir())
    found, fixed = set(), set()
    for file, about in told.items():
        session = onnxruntime.InferenceSession(tmp_path / file, providers=["CPUExecutionProvider"])
        for batch, longer in ((1, 0), (4, 0), (3, 7)):
            given = []
            for end in session.get_inputs():
                assert about["inputs"][end.name]["shape"] == end.shape and end.shape[0] == "batch"
                lengths = {"batch": batch, "time": 20 + longer, "frames": 4 + longer}
                shape = [lengths.get(size, size) for size in end.shape]
                found |= set(end.shape) & BOTH
                x = torch.randn(shape)
                if len(shape) == 2:
                    given.append(F.normalize(x, dim=1))
                elif about["inputs"][end.name]["dtype"] == "float32":
                    given.append(x * 15 - 40)
                else:
                    given.append(torch.randint(0, 256, shape, dtype=torch.uint8))
            names = [end.name for end in session.get_inputs()]
            [out] = session.run(None, {k: x.numpy() for k, x in zip(names, given, strict=True)})
            assert np.abs(out - asked(model, file, given)).max() < 1e-4, file
        fixed |= set(about.get("fixed", {}))
        assert about["difference"] < 1e-4
        assert b"site-packages" not in (tmp_path / file).read_bytes()  # nothing of where it was made
    assert found == free
    reads = {
        axis
        for side, axis in (("audio", "time"), ("video", "frames"))
        if side in model.module.embedding_names
    }
    assert fixed == (BOTH if case == "stack" else reads) - free


def test_what_onnx_cannot_have_is_said(tmp_path, monkeypatch):
    model, usual = built(video_encoder="shallow"), export._traced

    def fussy(part, path, lengths):
        if lengths or part.output == "score":
            raise RuntimeError("no operator for this in /home/me/code.py")
        return usual(part, path, lengths)

    monkeypatch.setattr(export, "_traced", fussy)
    told = export.write_onnx(model, tmp_path)
    assert told["audio.onnx"]["inputs"]["audio"]["shape"] == ["batch", 1, 16, 20]
    assert told["audio.onnx"]["fixed"]["time"].endswith("RuntimeError: no operator for this in ...")
    assert set(told["matcher.onnx"]) == {"missing"} and not (tmp_path / "matcher.onnx").exists()
    text = card.render("x", model.config | {"version": "1", "onnx": told}, [], 9, Origin(none="none"), None)
    assert "one number for time alone" in text and "not exported: RuntimeError: no operator" in text


def test_weights_beyond_the_limit_of_one_file_lie_beside_it(tmp_path, monkeypatch):
    monkeypatch.setattr(export, "LARGEST", 0)
    told = export.write_onnx(built(modality="video", pairing="category", video_encoder="shallow"), tmp_path)
    assert told["video.onnx"]["difference"] < 1e-4 and (tmp_path / "video.onnx.data").stat().st_size


# --- the folder -----------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def source(tmp_path_factory):
    """A model as the stage train leaves it."""
    folder, model = tmp_path_factory.mktemp("model"), built(video_encoder="shallow")
    about = {
        "labels": ["bell", "drum"],
        "history": [{"train/loss": 1.0}],
        "chosen": {"epochs": 3, "best_epoch": 2},
    }
    checkpoint.save(folder, model.module, model.config | about)
    return folder


@pytest.fixture
def without_onnx(monkeypatch):
    """What takes time, and is tested above."""
    told = {"audio.onnx": {"missing": "not here"}}
    monkeypatch.setattr(export, "write_onnx", lambda model, folder: told)


def test_an_export_is_a_model(source, tmp_path, without_onnx):
    folder = export.export(source, tmp_path)
    assert folder.name == "matching-cnn_small-shallow-infonce"
    assert json.loads((folder / "labels.json").read_text()) == ["bell", "drum"]
    config = json.loads((folder / "config.json").read_text())
    assert config["version"] == VERSION and "history" not in config and "audio.onnx" in config["onnx"]
    first, second = checkpoint.load(source), checkpoint.load(folder)
    weights = second.module.state_dict()
    assert all(torch.equal(weights[k], v) for k, v in first.module.state_dict().items())


def test_a_second_export_replaces_the_first_and_nothing_else(source, tmp_path, without_onnx):
    folder = export.export(source, tmp_path, "bells")
    (folder / "old").touch()
    (tmp_path / ".bells.new.tmp").mkdir()  # left by one that was killed
    (tmp_path / ".bells.new.tmp/config.json").touch()
    export.export(folder, tmp_path, "bells")  # from itself
    assert not (folder / "old").exists() and [path.name for path in tmp_path.iterdir()] == ["bells"]
    for name in ("mine", "model"):
        (tmp_path / name).mkdir()
    checkpoint.save(tmp_path / "model", *(lambda m: (m.module, m.config))(built(video_encoder="shallow")))
    for name in ("mine", "model"):
        with pytest.raises(UserError, match="is there, and no export"):
            export.export(source, tmp_path, name)
    for name in ("..", "../x", "a/b", "-x", "a b", ".x", "x\n"):
        with pytest.raises(UserError, match="--name"):
            export.export(source, tmp_path, name)
    (tmp_path / "file").touch()
    with pytest.raises(UserError, match="--out"):
        export.export(source, tmp_path / "file", "bells")
    with pytest.raises(UserError, match="train a model first"):
        export.export(tmp_path / "nothing", tmp_path, "bells")


def test_an_export_that_fails_leaves_what_was_there(source, tmp_path, without_onnx, monkeypatch):
    folder = export.export(source, tmp_path, "bells")
    before = {path.name: path.read_bytes() for path in folder.iterdir()}

    def fails(*_):
        # What a kill at this moment would leave could not be loaded, wherever it lies.
        assert not list(tmp_path.glob(".*/config.json"))
        raise KeyboardInterrupt

    monkeypatch.setattr(card, "render", fails)
    for name in ("bells", "new"):
        with pytest.raises(KeyboardInterrupt):
            export.export(source, tmp_path, name)
    assert [path.name for path in tmp_path.iterdir()] == ["bells"]
    assert before == {path.name: path.read_bytes() for path in folder.iterdir()}


@pytest.mark.parametrize(
    ("changes", "name"),
    [
        ({"audio_encoder": "timm/resnet18", "video_encoder": "a..b"}, "matching-timm_resnet18-a_b-infonce"),
        ({"modality": "video"}, "matching-cnn-infonce"),
        ({"task": "classification", "label": "who is it?"}, "classification-cnn_small-cnn-who_is_it"),
        ({"task": "pretraining", "encoder": "cav_mae"}, "pretraining-cav_mae"),
    ],
)
def test_a_name_tells_what_was_trained(changes, name):
    assert export.default_name(asdict(toy.experiment(**changes))) == name


# --- the card -------------------------------------------------------------------------------------------

HOSTILE = [
    "<script>alert(1)</script>",
    "a|b",
    "[x](https://x.org)",
    "`c` **d** _e_",
    "two\n\n# lines",
    "www.x.org https://x.org a@x.org",
    "&lt; \\ {{ 7 * 7 }} $x$ ~~y~~ ![z](z)",
]


def test_labels_and_parameters_stay_text():
    model = built(video_encoder="shallow")
    config = model.config | {
        "version": VERSION,
        "onnx": {},
        "chosen": {"best_epoch": 1, "epochs": 1},
        "label": HOSTILE[0],
        "constants": {HOSTILE[1]: 1, "c": HOSTILE[0]},
    }
    metrics = {"a|b": {"n": 7, "x": 0.5, "ci": {"x": [0.25, 0.75]}, "chance": {"x": 0.125}}}
    data = {"source": HOSTILE[2], "clips": 3, "classes": 2, "unlabelled": 1, "subjects": 0}
    text = card.render("x", config, HOSTILE, 9, Origin(metrics, data=data), None)
    front, _, body = text.removeprefix("---\n").partition("\n---\n")
    assert yaml.safe_load(front)["license"] == "mit"
    html = MarkdownIt("commonmark").enable(["table", "strikethrough"]).render(body)
    for tag in ("<script", "<em", "<strong", "<a ", "<img", "<s>", "&amp;lt;\n"):
        assert tag not in html
    shown = ", ".join(" ".join(label.split()) for label in HOSTILE)
    assert shown.replace("&", "&amp;").replace("<", "&lt;").replace(">", "&gt;") in html
    assert html.count("<h1>") == 1
    assert "<td>a|b.x</td>" in html and "0.250 to 0.750" in html and ">0.125</td>" in html
    for raw in ("www.x", "https:", "a@x"):  # what GitHub and Hugging Face make links of
        assert raw not in body


def test_without_proof_nothing_is_claimed(source, tmp_path, without_onnx):
    text = (export.export(source, tmp_path) / "README.md").read_text()
    assert "None: the model lies in no project." in text
    assert "Nothing here proves which clips it learned from." in text
    assert "bell, drum" in text and 'load("path/to/matching-cnn_small-shallow-infonce")' in text


def test_weights_of_others_are_called_so(tmp_path, without_onnx):
    model = built(**CASES["pretraining"][0])
    has_not = ("audio_encoder", "video_encoder", "loss", "matcher", "pairing", "constants", "label")
    config = {k: v for k, v in model.config.items() if k not in has_not}  # as app.convert leaves it
    checkpoint.save(tmp_path / "published", model.module, config)
    folder = export.export(tmp_path / "published", tmp_path)
    text = (folder / "README.md").read_text()
    assert folder.name == "pretraining-cav_mae" and "license: other" in text
    assert "was exported with" in text and "whoever published them" in text
