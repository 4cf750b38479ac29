"""params.schema.json says of params.yaml what the reader says, as far as a schema can."""

import json
import shutil

import jsonschema
import pytest
import yaml
from dvc.utils.hydra import apply_overrides

from experiments.__main__ import main, settings_files
from pipeline.config import ROOT, read, schema
from pipeline.config.reader import ParamsLoader
from testing import defaults

PRESETS = sorted(settings_files())
VALIDATOR = jsonschema.Draft7Validator(json.loads((ROOT / schema.SCHEMA_FILE).read_text(encoding="utf-8")))


def values():
    return yaml.safe_load(defaults.PARAMS.read_text(encoding="utf-8"))


def changed(key, value):
    """params.yaml's values with one changed or added; `/` stands between keys, which may have dots."""
    *sections, name = key.split("/")
    content = node = values()
    for section in sections:
        node = node[section]
    node[name] = value
    return content


def test_all_that_is_generated_is_up_to_date(monkeypatch):
    # As `make lint` checks it; test_components.py asks the classes too.
    monkeypatch.setattr(schema, "PARAMS", defaults.PARAMS)
    assert schema.find_outdated_files() == []


def test_it_is_a_schema_and_params_yaml_names_it():
    VALIDATOR.check_schema(VALIDATOR.schema)
    first = defaults.PARAMS.read_text(encoding="utf-8").splitlines()[0]
    assert first == f"# yaml-language-server: $schema={schema.SCHEMA_FILE}"


def test_params_yaml_is_valid():
    VALIDATOR.validate(values())


@pytest.mark.parametrize("name", PRESETS)
def test_every_preset_is_valid(name, tmp_path, monkeypatch):
    # Applied as `dvc exp run -S` does it, which also shows that the comment at the top stays where it is.
    shutil.copy(defaults.PARAMS, tmp_path)
    monkeypatch.chdir(ROOT)
    words = main([name]).split()
    apply_overrides(tmp_path / "params.yaml", words[1::2])
    text = (tmp_path / "params.yaml").read_text(encoding="utf-8")
    assert text.startswith("# yaml-language-server: $schema=")
    VALIDATOR.validate(yaml.load(text, ParamsLoader))
    assert read(tmp_path / "params.yaml")


@pytest.mark.parametrize(
    ("key", "value"),
    [
        ("los", "bce"),
        ("loss", "triplett"),
        ("audio_encoder", "cnn_smal"),
        ("audio_encoder", "timm"),
        ("data/source", "folders"),
        ("train/epoch", 3),
        ("train/epochs", "ten"),
        ("train/epochs", 1.5),
        ("train/epochs", True),
        ("train/betas", [0.9]),
        ("augment/flip", "yes"),
        ("augment/crop", 0),
        ("losses/triplet", {"margn": 0.3}),
        ("losses/triplet", {"margin": -1.0}),
        ("losses/triplet", {}),
        ("losses/infonce", {"temperature": 0.1, "learned": 1}),
        ("losses/tripplet", {}),
        ("encoders/audio", {"lstm": {"hiden": 8}}),
        ("encoders/audio", {"lsm": {}}),
        ("encoders/video", {"timm": {"pretrain": True}}),
        ("encoders/video", {"timm/resnet18": {"pretrained": True}}),
        ("encoders/audio", {"hf": {"definition": {}}}),
        ("encoders/audio", {"hf": {"pooling": "median"}}),
        ("audio_encoder", "hf/"),
    ],
)
def test_a_typo_and_a_wrong_type_are_not(key, value, tmp_path):
    wrong = changed(key, value)
    assert not VALIDATOR.is_valid(wrong)


@pytest.mark.parametrize(
    ("key", "value"),
    [
        ("audio_encoder", "timm/resnet18"),
        ("video_encoder", "torchvision/vgg16"),
        ("encoder", None),
        ("engine/workers", None),
        ("data/audioset/classes", ["Bell"]),
        ("video_encoder", "hf/openai/clip-vit-base-patch32"),
        ("audio/feature", "waveform"),
        ("encoders/video", {"timm": {"pretrained": True, "trainable": 2}, "cnn": {"widths": [8, 16]}}),
        ("encoders/audio", {"hf": {"pooling": "mean", "trainable": "lora", "lora_rank": 4}}),
        ("losses/infonce", {"temperature": 0.1, "learned": False, "both_ways": False}),
    ],
)
def test_what_the_reader_takes_is_valid(key, value, tmp_path):
    right = changed(key, value)
    (tmp_path / "params.yaml").write_text(yaml.safe_dump(right), encoding="utf-8")
    assert read(tmp_path / "params.yaml")
    VALIDATOR.validate(right)


@pytest.mark.parametrize("number", ["1e-05", "1.0e-05", "1E-5", "0.00001"])
def test_a_small_number_is_one_however_it_is_written(number, tmp_path):
    shutil.copy(defaults.PARAMS, tmp_path)
    apply_overrides(tmp_path / "params.yaml", [f"train.weight_decay={number}"])
    assert read(tmp_path / "params.yaml").train.weight_decay == 1e-5


@pytest.mark.parametrize(
    "word",
    [
        "+encoders.video.timm.pretrained=true",
        "+encoders.video.torchvision.trainable=2",
        "+encoders.audio.timm.input_size=128",
        "+encoders.audio.hf.pooling=mean",
        "+encoders.video.hf.trainable=lora",
    ],
)
def test_keywords_of_networks_are_set_as_others(word, tmp_path):
    path = shutil.copy(defaults.PARAMS, tmp_path / "params.yaml")
    apply_overrides(path, [word])
    VALIDATOR.validate(yaml.load(path.read_text(encoding="utf-8"), ParamsLoader))
    assert read(path)


def test_keys_are_described_by_their_fields():
    sections = VALIDATOR.schema["properties"]
    assert sections["loss"]["description"] == "a file in models/losses"
    assert sections["split"]["properties"]["by"]["description"].startswith("clips of one video")
    assert sections["audio"]["description"].startswith("sound and its features")
    train = sections["pretraining"]["properties"]["train"]["properties"]
    assert train["warm_up"]["description"] == sections["train"]["properties"]["warm_up"]["description"]


def test_what_is_not_up_to_date_is_one_line(monkeypatch, tmp_path):
    path = tmp_path / "params.yaml"
    path.write_text(
        defaults.PARAMS.read_text(encoding="utf-8").replace("# a file in models/losses", "# a loss")
    )
    monkeypatch.setattr(schema, "PARAMS", path)
    assert schema.find_outdated_files() == [
        "params.yaml is not up to date: run python -m pipeline.config.schema"
    ]
    monkeypatch.setattr(schema.components, "find_outdated_components", lambda: ["models/losses/mine.py"])
    (line,) = schema.find_outdated_files()
    assert "components.json" in line and "models/losses/mine.py" in line and line.endswith(schema.COMMAND)
