"""ONNX equals PyTorch, an export is complete or absent, and a card says only what is proven."""

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
from testing import hf_models, toy
from testing.untrained import build_untrained_model

SMALL = {"patch": 8, "width": 24, "heads": 2, "layers": 1, "decoder_width": 16, "decoder_heads": 2}
TRUNK, SQUEEZENET = "timm/test_resnet", "torchvision/squeezenet1_1"
BOTH, TIME, FRAMES = {"time", "frames"}, {"time"}, {"frames"}


CASES = {  # parameters of the model, and the axes that can have any length in ONNX
    "distance": ({"video_encoder": "avenet", "sizes": {"audio": {}, "video": {"width": 4}}}, BOTH),
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
            "sizes": {"video": {"trunk": TRUNK}},
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
        {"audio_encoder": SQUEEZENET, "modality": "audio", "pairing": "category"},
        TIME,
    ),
    "classification": (
        {
            "task": "classification",
            "audio_encoder": "transformer",
            "video_encoder": "transformer",
            "classification": {},
            "sizes": {"audio": {"layers": 1}, "video": {"layers": 1}},
        },
        set(),
    ),
    "stack": (
        {"task": "classification", "video_encoder": "shallow", "classification": {"fusion": "stack"}},
        TIME,  # the stack has one sound image for each frame, so the number of frames is fixed
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
# These are parts of the models above and of those of the tests below.
EXPORTED |= {("audio", "cnn_small"), ("video", "shallow"), ("audio", "hf/hubert"), ("video", TRUNK)}


def run_pytorch(model: Model, file: str, inputs: list[torch.Tensor]) -> np.ndarray:
    """Return PyTorch's output for the inputs of an ONNX file."""
    module, modality = model.module, model.config["modality"]
    with torch.inference_mode():
        if file == "classifier.onnx":
            return (module(*inputs) if modality == "both" else module(inputs[0], inputs[0])).numpy()
        if file == "both.onnx":
            return module.embed_pair(*inputs)[0].numpy()
    functions = {
        "audio.onnx": model.embed_audio,
        "video.onnx": model.embed_video,
        "matcher.onnx": model.score,
    }
    return functions[file](*inputs)


@pytest.mark.parametrize("case", CASES)
def test_onnx_equals_pytorch(case, tmp_path):
    changes, free = CASES[case]
    model = build_untrained_model(**changes)
    files = export.write_onnx(model, tmp_path)
    sides = ["both"] if case == "stack" else model.module.embedding_names
    last = "classifier" if model.config["task"] == "classification" else "matcher"
    assert list(files) == [f"{name}.onnx" for name in (*sides, last)]
    assert sorted(files) == sorted(path.name for path in tmp_path.iterdir())
    dynamic, fixed = set(), set()
    for file, facts in files.items():
        session = onnxruntime.InferenceSession(tmp_path / file, providers=["CPUExecutionProvider"])
        for batch, longer in ((1, 0), (4, 0), (3, 7)):
            inputs = []
            for tensor in session.get_inputs():
                assert facts["inputs"][tensor.name]["shape"] == tensor.shape and tensor.shape[0] == "batch"
                lengths = {"batch": batch, "time": 20 + longer, "frames": 4 + longer}
                shape = [lengths.get(size, size) for size in tensor.shape]
                dynamic |= set(tensor.shape) & BOTH
                x = torch.randn(shape)
                if len(shape) == 2:
                    inputs.append(F.normalize(x, dim=1))
                elif facts["inputs"][tensor.name]["dtype"] == "float32":
                    inputs.append(x * 15 - 40)
                else:
                    inputs.append(torch.randint(0, 256, shape, dtype=torch.uint8))
            names = [tensor.name for tensor in session.get_inputs()]
            [out] = session.run(None, {k: x.numpy() for k, x in zip(names, inputs, strict=True)})
            assert np.abs(out - run_pytorch(model, file, inputs)).max() < 1e-4, file
        fixed |= set(facts.get("fixed", {}))
        assert facts["difference"] < 1e-4
        assert b"site-packages" not in (tmp_path / file).read_bytes()  # no path of this machine
    assert dynamic == free
    reads = {
        axis
        for side, axis in (("audio", "time"), ("video", "frames"))
        if side in model.module.embedding_names
    }
    assert fixed == (BOTH if case == "stack" else reads) - free


def test_networks_of_hugging_face_are_exported(tmp_path):
    """SigLIP has a layer nn.Embedding, whose output the exporter would call as the model's."""
    model = build_untrained_model(
        hf_models.SOUND_SHAPE,
        hf_models.FRAMES_SHAPE,
        audio_encoder=hf_models.make_name("hubert"),
        video_encoder=hf_models.make_name("siglip"),
    )
    files = export.write_onnx(model, tmp_path)
    assert list(files) == ["audio.onnx", "video.onnx", "matcher.onnx"]
    assert all(facts["difference"] < 1e-4 for facts in files.values())
    assert files["audio.onnx"]["inputs"]["audio"]["shape"] == ["batch", 1, 160, "time"]


def test_a_card_says_where_the_weights_are_from():
    def is_pretrained(name, keywords, **more):
        config = asdict(toy.experiment(audio_encoder=name, encoders={"audio": keywords})) | {"train": {}}
        return card._is_pretrained(config | more)

    assert not is_pretrained("timm/test_resnet", {}) and is_pretrained(
        "timm/test_resnet", {"pretrained": True}
    )
    assert is_pretrained("hf/user/clap", {}) and not is_pretrained("hf/user/clap", {"pretrained": False})
    towers = {"audio": {"towers": {"timm/test_resnet": {"pretrained": "weights"}}}}
    assert is_pretrained("cached", {}, features=towers)


def test_what_onnx_cannot_express_is_reported(tmp_path, monkeypatch):
    model, trace = build_untrained_model(video_encoder="shallow"), export._trace

    def fail(part, path, lengths):
        if lengths or part.output == "score":
            raise RuntimeError("no operator for this in /home/me/code.py")
        return trace(part, path, lengths)

    monkeypatch.setattr(export, "_trace", fail)
    files = export.write_onnx(model, tmp_path)
    assert files["audio.onnx"]["inputs"]["audio"]["shape"] == ["batch", 1, 16, 20]
    assert files["audio.onnx"]["fixed"]["time"].endswith("RuntimeError: no operator for this in ...")
    assert set(files["matcher.onnx"]) == {"missing"} and not (tmp_path / "matcher.onnx").exists()
    text = card.render(
        "x", model.config | {"version": "1", "onnx": files}, [], 9, Origin(no_metrics="none"), None
    )
    assert "a fixed size for time" in text and "not exported: RuntimeError: no operator" in text


def test_weights_beyond_the_limit_are_in_a_second_file(tmp_path, monkeypatch):
    monkeypatch.setattr(export, "MAX_ONNX_BYTES", 0)
    files = export.write_onnx(
        build_untrained_model(modality="video", pairing="category", video_encoder="shallow"), tmp_path
    )
    assert files["video.onnx"]["difference"] < 1e-4 and (tmp_path / "video.onnx.data").stat().st_size


# --- the folder -----------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def source(tmp_path_factory):
    """Save a model as the stage train does."""
    folder, model = tmp_path_factory.mktemp("model"), build_untrained_model(video_encoder="shallow")
    entries = {
        "labels": ["bell", "drum"],
        "history": [{"train/loss": 1.0}],
        "chosen": {"epochs": 3, "best_epoch": 2},
    }
    checkpoint.save(folder, model.module, model.config | entries)
    return folder


@pytest.fixture
def without_onnx(monkeypatch):
    """Replace the slow part of an export, which is tested above."""
    files = {"audio.onnx": {"missing": "not here"}}
    monkeypatch.setattr(export, "write_onnx", lambda model, folder: files)


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
    (tmp_path / ".bells.new.tmp").mkdir()  # of an export that was killed
    (tmp_path / ".bells.new.tmp/config.json").touch()
    export.export(folder, tmp_path, "bells")  # the source may be the target
    assert not (folder / "old").exists() and [path.name for path in tmp_path.iterdir()] == ["bells"]
    for name in ("mine", "model"):
        (tmp_path / name).mkdir()
    checkpoint.save(
        tmp_path / "model", *(lambda m: (m.module, m.config))(build_untrained_model(video_encoder="shallow"))
    )
    for name in ("mine", "model"):
        with pytest.raises(UserError, match="exists and is not an export"):
            export.export(source, tmp_path, name)
    for name in ("..", "../x", "a/b", "-x", "a b", ".x", "x\n"):
        with pytest.raises(UserError, match="--name"):
            export.export(source, tmp_path, name)
    (tmp_path / "file").touch()
    with pytest.raises(UserError, match="--out"):
        export.export(source, tmp_path / "file", "bells")
    with pytest.raises(UserError, match="train a model first"):
        export.export(tmp_path / "nothing", tmp_path, "bells")


def test_a_failed_export_keeps_the_earlier_one(source, tmp_path, without_onnx, monkeypatch):
    folder = export.export(source, tmp_path, "bells")
    before = {path.name: path.read_bytes() for path in folder.iterdir()}

    def fail(*_):
        # After a kill at this moment, no folder could be loaded as a model.
        assert not list(tmp_path.glob(".*/config.json"))
        raise KeyboardInterrupt

    monkeypatch.setattr(card, "render", fail)
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
def test_the_default_name_says_what_was_trained(changes, name):
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


def test_labels_and_parameters_are_escaped():
    model = build_untrained_model(video_encoder="shallow")
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
    text_labels = ", ".join(" ".join(label.split()) for label in HOSTILE)
    assert text_labels.replace("&", "&amp;").replace("<", "&lt;").replace(">", "&gt;") in html
    assert html.count("<h1>") == 1
    assert "<td>a|b.x</td>" in html and "0.250 to 0.750" in html and ">0.125</td>" in html
    for raw in ("www.x", "https:", "a@x"):  # GitHub and Hugging Face turn these into links
        assert raw not in body


def test_a_model_outside_a_project_has_no_metrics(source, tmp_path, without_onnx):
    text = (export.export(source, tmp_path) / "README.md").read_text()
    assert "None: the model is in no project." in text
    assert "The training data are unknown." in text
    assert "bell, drum" in text and 'load("path/to/matching-cnn_small-shallow-infonce")' in text


def test_converted_weights_keep_their_licence(tmp_path, without_onnx):
    model = build_untrained_model(**CASES["pretraining"][0])
    missing = ("audio_encoder", "video_encoder", "loss", "matcher", "pairing", "constants", "label")
    config = {k: v for k, v in model.config.items() if k not in missing}  # as app.convert writes it
    checkpoint.save(tmp_path / "published", model.module, config)
    folder = export.export(tmp_path / "published", tmp_path)
    text = (folder / "README.md").read_text()
    assert folder.name == "pretraining-cav_mae" and "license: other" in text
    assert "was exported with" in text and "licences of their publisher" in text
