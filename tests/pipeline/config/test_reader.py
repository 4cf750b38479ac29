"""params.yaml: whatever is wrong is told in one line that names the key, the value and what is allowed."""

import pickle
import re

import pytest
import yaml

from pipeline.config import View, apply_settings, load, read
from pipeline.errors import UserError
from testing import defaults


def write_params(tmp_path, changes: dict, drop: str = ""):
    """A copy of the project's params.yaml with some keys changed or added, and one left out."""
    values = yaml.safe_load(defaults.PARAMS.read_text())
    for key, value in changes.items():
        *sections, name = key.split(".")
        section = values
        for part in sections:
            section = section[part]
        section[name] = value
    if drop:
        *sections, name = drop.split(".")
        section = values
        for part in sections:
            section = section[part]
        del section[name]
    path = tmp_path / "params.yaml"
    path.write_text(yaml.safe_dump(values))
    return path


def complaints(path) -> list[str]:
    with pytest.raises(UserError) as e:
        read(path)
    return str(e.value).splitlines()


def test_the_projects_own_are_right():
    assert read(defaults.PARAMS).data.source == "ensemble"


# key, value, what the line must say beside the key
WRONG = [
    ("loss", "triplett", ["'triplett'", "did you mean triplet?", "allowed: bce, contrastive, "]),
    ("audio_encoder", "cnn_smal", ["'cnn_smal'", "did you mean cnn_small?"]),
    ("video_encoder", "frames", ["'frames'", "did you mean frame?", "cnn_avg"]),
    ("matcher", "nothing-like-it", ["'nothing-like-it'", "allowed: concat, distance"]),
    ("pairing", "clips", ["'clips'", "did you mean clip?", "category"]),
    ("data.source", "folders", ["'folders'", "did you mean folder?", "ensemble"]),
    ("audio.feature", "fbanks", ["'fbanks'", "did you mean fbank?", "stft"]),
    ("train.precision", "bf16", ["'bf16'", "bf16-mixed"]),
    ("engine.name", "locals", ["'locals'", "'local'"]),
    ("los", "bce", ["unknown key", "did you mean loss?", "known: ", "matcher"]),
    ("train.epoch", 3, ["unknown key", "did you mean epochs?", "known: ", "batch_size"]),
    ("data.ensemble.clip", 3, ["unknown key", "did you mean clips?"]),
    ("train.epochs", "ten", ["'ten'", "integer"]),
    ("train.epochs", 1.5, ["1.5", "integer"]),
    ("train.epochs", True, ["True", "integer"]),
    ("augment.flip", "yes", ["'yes'", "boolean"]),
    ("augment.brightness", [1.4, 0.6], ["augment.brightness", "1.4", "larger than"]),
    ("augment.crop", 0, ["0", "greater than 0"]),
    ("losses.triplet", {"margn": 0.3}, ["losses.triplet.margn", "unknown key", "did you mean margin?"]),
    ("losses.triplet", {"margin": -1.0}, ["losses.triplet.margin", "-1.0", "greater than 0"]),
    ("losses.triplet", {}, ["losses.triplet.margin", "missing"]),
    ("losses.triplet", {"margin": float("inf")}, ["losses.triplet.margin", "inf", "finite"]),
    ("losses.infonce", {"temperature": 0.1, "learned": 1}, ["losses.infonce.learned: 1", "boolean"]),
    ("losses", {"triplet": 0.3}, ["losses.triplet", "0.3", "dictionary"]),
    ("losses.tripplet", {}, ["losses.tripplet", "unknown loss"]),
    ("encoders.audio", {"lstm": {"hiden": 8}}, ["lstm.hiden", "did you mean hidden?", "layers"]),
    ("encoders.audio", {"lstm": {"hidden": 0}}, ["lstm.hidden", "0", "greater than 0"]),
    ("encoders.audio", {"lsm": {}}, ["lsm", "did you mean lstm?"]),
    ("encoders.video", {"cnn": {"widths": "64"}}, ["cnn.widths", "'64'", "list"]),
    ("audio_encoder", "timm/resnet19", ["'timm/resnet19'", "did you mean timm/resnet18"]),
    ("video_encoder", "torchvision/vgg17", ["did you mean torchvision/vgg1"]),
    ("audio_encoder", "timm/resnet18.a9_in1k", ["did you mean timm/resnet18.a"]),
    ("audio_encoder", "hf/a/b", ["audio.feature: waveform", "audio.sample_rate: as its preprocessor_config"]),
    ("video_encoder", "hf/", ["'hf/'", "hf/<id or path>"]),
    ("encoders.video", {"timm/resnet18": {}}, ["all networks of a library", "encoders.video.timm"]),
    ("encoders.audio", {"hf": {"sample_rate": 8000}}, ["encoders.audio.hf.sample_rate", "unknown key"]),
    ("encoders.audio", {"timm": {"trainable": "some"}}, ["encoders.audio.timm.trainable", "'lora'"]),
    ("modality", "sound", ["'sound'", "allowed: audio, video, both"]),
    (
        "modality",
        "audio",
        ["modality: audio does not go with task: matching, pairing: clip", "use pairing: category"],
    ),
    ("train.balanced", True, ["train.balanced", "pairing: category"]),
    ("train", 3, ["3"]),
    ("data.folder", 5, ["5", "string"]),
    ("video.frames", 0, ["0", "greater than or equal to 1"]),
    ("engine.workers", -1, ["-1", "greater than or equal to 1"]),
    ("seed", -1, ["-1", "greater than or equal to 0"]),
    ("data.shard_size", 0, ["0", "greater than or equal to 1"]),
    ("data.clip_seconds", -4.0, ["-4.0", "greater than 0"]),
    ("train.learning_rate", float("nan"), ["nan", "finite"]),
    ("audio.fmin", float("inf"), ["inf", "finite"]),
    ("split.test", 1.5, ["1.5", "less than 1"]),
    ("encoder", "cav_mea", ["'cav_mea'", "did you mean cav_mae?"]),
    ("encoders.joint", {"cav_mae": {"widht": 8}}, ["cav_mae.widht", "did you mean width?"]),
    ("encoders.joint", {"cav_mae": {"size": "huge"}}, ["cav_mae.size", "'huge'", "'tiny' or 'base'"]),
    ("encoders.joint", {"cav_mae": {"normalization": [0.0]}}, ["cav_mae.normalization", "[0.0]", "2 items"]),
    ("encoders.joint", {"timm/resnet18": {}}, ["timm/resnet18", "allowed: cav_mae"]),
    ("train.average", [5, 3], ["train.average", "5", "larger than"]),
    ("train.schedule", "steps", ["'steps'", "did you mean step?"]),
    ("pretraining.mask", "tf", ["'tf'", "allowed: random, time, frequency, both"]),
    ("pretraining.mask_ratio", 1.0, ["1.0", "less than 1"]),
    ("pretraining.train.embedding_dim", 8, ["pretraining.train.embedding_dim", "unknown key"]),
    ("classification.labels", 0.0, ["0.0", "greater than 0"]),
]


def test_the_sound_of_a_network_is_checked_by_its_files(tmp_path):
    (tmp_path / "preprocessor_config.json").write_text('{"sampling_rate": 16000}')
    (tmp_path / "both").mkdir()
    (tmp_path / "both/processor_config.json").write_text('{"feature_extractor": {"sampling_rate": 48000}}')
    right = {"audio.feature": "waveform", "audio.sample_rate": 16000}
    assert read(write_params(tmp_path, right | {"audio_encoder": f"hf/{tmp_path}"}))
    cases = [
        ({"audio_encoder": f"hf/{tmp_path}"}, "audio_encoder", 16000),
        (right | {"towers.audio": [f"hf/{tmp_path}/both"]}, "towers.audio", 48000),
    ]
    for values, where, rate in cases:
        (line,) = complaints(write_params(tmp_path, values))
        assert where in line
        assert line.endswith(f"hears samples: set audio.feature: waveform and audio.sample_rate: {rate}")


@pytest.mark.parametrize(("key", "value", "says"), WRONG, ids=[f"{k}={v}" for k, v, _ in WRONG])
def test_a_bad_value_is_one_line(tmp_path, key, value, says):
    (line,) = complaints(write_params(tmp_path, {key: value}))
    assert f": {key}" in line
    assert all(part in line for part in says), line


# What is right by itself but not beside another key: both are named.
BESIDE = [
    ({"audio.hop_length": 401}, ["audio: ", "hop_length 401", "win_length 400"]),
    ({"audio.win_length": 600}, ["audio: ", "win_length 600", "n_fft 512"]),
    ({"audio.fmin": 9000.0}, ["audio: ", "fmin 9000", "8000"]),
    ({"audio.fmin": 500.0, "audio.fmax": 400.0}, ["audio: ", "fmin 500", "fmax 400"]),
    ({"audio.fmax": 9000.0}, ["audio: ", "fmax 9000", "sample_rate 16000"]),
    ({"video.window_frames": 9}, ["video: ", "window_frames 9", "frames 8"]),
    ({"split.val": 0.6, "split.test": 0.4}, ["split: ", "val 0.6", "test 0.4"]),
    ({"audio.window_seconds": 5.0}, ["audio.window_seconds 5", "data.clip_seconds 4"]),
    ({"train.average": [1, 61]}, ["train: ", "average", "1 to 60"]),
    ({"encoder": "cav_mae"}, ["encoder: cav_mae", "use task: pretraining or classification"]),
    ({"encoder": "cav_mae", "task": "classification", "classification.fusion": "stack"}, ["fusion: concat"]),
    ({"task": "classification", "classification.frozen": True}, ["frozen: true", "use encoder: cav_mae"]),
    (
        {
            "task": "classification",
            "encoder": "cav_mae",
            "classification.frozen": True,
            "classification.start": "scratch",
        },
        ["classification.frozen: true", "a frozen encoder of random weights"],
    ),
    (
        {"task": "classification", "train.layer_decay": 0.5},
        [
            "train.layer_decay: 0.5",
            "audio_encoder: cnn_small",
            "use encoder: cav_mae, or an encoder of a lib",
        ],
    ),
    ({"train.gradient_checkpointing": True}, ["train.gradient_checkpointing: true", "use encoder: cav_mae"]),
    ({"pretraining.contrastive": 0.0, "pretraining.reconstruction": 0.0}, ["pretraining: ", "both 0"]),
]


@pytest.mark.parametrize(("changes", "says"), BESIDE, ids=[" ".join(c) for c, _ in BESIDE])
def test_values_that_do_not_go_together_are_one_line(tmp_path, changes, says):
    (line,) = complaints(write_params(tmp_path, changes))
    assert all(part in line for part in says), line


@pytest.mark.parametrize(
    "changes",
    [
        {"video_encoder": "timm/test_resnet", "train.layer_decay": 0.5, "train.gradient_checkpointing": True},
        {"task": "classification", "encoder": "cav_mae", "train.layer_decay": 0.5},
        {
            "task": "classification",
            "encoder": "cav_mae",
            "classification.frozen": True,
            "classification.start": "scratch",
            "train.start": "dist/bells",
        },
    ],
    ids=str,
)
def test_values_that_go_together_are_read(tmp_path, changes):
    assert read(write_params(tmp_path, changes))


@pytest.mark.parametrize("key", ["loss", "audio", "train.epochs", "data.ensemble.seed"])
def test_a_missing_key_is_one_line(tmp_path, key):
    (line,) = complaints(write_params(tmp_path, {}, drop=key))
    assert f": {key}: missing" in line


def test_all_errors_are_listed_together(tmp_path):
    wrong = {"loss": "triplett", "video.frames": 0, "train.epoch": 3, "engine.workers": -1}
    lines = complaints(write_params(tmp_path, wrong, drop="seed"))
    assert len(lines) == 5
    for key in (*wrong, "seed"):
        assert any(re.search(rf": {re.escape(key)}: ", line) for line in lines), key


@pytest.mark.parametrize(
    ("content", "says"),
    [
        (b"", "mapping"),
        (b"- a\n- b\n", "mapping"),
        (b"just words", "mapping"),
        (b"loss: [bce\ntask: ]]", "not YAML"),
        (b"loss: \xff\xfe", "not YAML"),
        (b"loss: !!python/object/apply:os.getcwd []", "not YAML"),
        (None, "cannot be read"),
    ],
)
def test_a_file_that_is_no_params_file_is_one_line(tmp_path, content, says):
    path = tmp_path / "params.yaml"
    if content is not None:
        path.write_bytes(content)
    (line,) = complaints(path)
    assert "params.yaml" in line and says in line


# --- what a stage may read ------------------------------------------------------------------------------


@pytest.fixture
def view() -> View:
    keys = ("seed", "train", "audio.hop_length", "data.ensemble.seed")
    return View(read(defaults.PARAMS), "toy", keys)


def test_a_stage_reads_what_is_listed(view):
    assert (view.seed, view.train.epochs, view.audio.hop_length, view.data.ensemble.seed) == (0, 60, 160, 0)


@pytest.mark.parametrize(
    "key", ["loss", "audio.n_mels", "audio.hop", "data.folder", "data.ensemble.clips", "video"]
)
def test_a_stage_reads_nothing_else(view, key):
    with pytest.raises((KeyError, AttributeError), match=key.rpartition(".")[2]):
        value = view
        for part in key.split("."):
            value = getattr(value, part)


def test_what_is_listed_comes_as_plain_data(view):
    values = view.to_dict()
    assert list(values) == ["seed", "train", "audio.hop_length", "data.ensemble.seed"]
    assert values["train"]["epochs"] == 60 and values["audio.hop_length"] == 160
    assert yaml.safe_load(yaml.safe_dump(values)) == values


def test_a_worker_gets_the_same_view(view):
    copy = pickle.loads(pickle.dumps(view.audio))
    assert copy.hop_length == 160
    with pytest.raises(KeyError, match="stage toy reads audio.n_mels"):
        copy.n_mels  # noqa: B018


def test_a_stage_gets_the_keys_that_dvc_yaml_lists(tmp_path):
    (tmp_path / "dvc.yaml").write_text("stages: {toy: {params: [seed, video]}}")
    toy = load("toy", defaults.PARAMS, tmp_path)
    assert toy.to_dict().keys() == {"seed", "video"}
    with pytest.raises(KeyError, match="stage toy reads loss, which dvc.yaml does not list"):
        toy.loss  # noqa: B018


@pytest.mark.parametrize(
    ("settings", "parts"),
    [
        ({"train.epocs": 3}, ["train.epocs: unknown key", "did you mean epochs?"]),
        ({"train.epochs": 0}, ["train.epochs: 0", "greater than or equal to 1"]),
        ({"train.epochs.x": 3}, ["train.epochs.x", "has no keys"]),
        ({"loss": "triplett"}, ["did you mean triplet?"]),
        ({"video.window_frames": 99}, ["window_frames 99 is more than frames"]),
    ],
)
def test_a_wrong_setting_is_one_line(settings, parts):
    with pytest.raises(UserError) as e:
        apply_settings(read(defaults.PARAMS), settings, "study.yaml: set")
    assert all(part in str(e.value) for part in ["study.yaml: set", *parts])
    assert len(str(e.value).splitlines()) == 1


def test_settings_are_applied():
    settings = {"train.epochs": 7, "encoders.audio.lstm": {"layers": 1}}
    params = read(defaults.PARAMS)
    changed = apply_settings(params, settings, "study.yaml: set")
    assert params.train.epochs != 7
    assert changed.train.epochs == 7 and changed.encoders.audio["lstm"] == {"layers": 1}
