"""Parameters, presets and lists as YAML and JSON: tags, aliases and nesting without end."""

import time

import pytest
import yaml

from experiments import __main__ as presets
from models import checkpoint
from pipeline import config
from pipeline.errors import UserError
from pipeline.sources.audioset import lists as audioset_lists
from testing import defaults
from testing.untrained import build_untrained_model
from tests.pipeline.sources.test_audioset import data_params


@pytest.mark.parametrize(
    "tag",
    [
        "!!python/object/apply:os.mkdir ['CANARY']",
        "!!python/object/new:os.mkdir ['CANARY']",
        "!!python/name:os.system",
        "!!python/module:os",
        '!!python/object/apply:subprocess.check_output [["mkdir", "CANARY"]]',
        "!<tag:yaml.org,2002:python/object/apply:os.mkdir> ['CANARY']",
    ],
)
def test_yaml_tags_are_refused(tmp_path, canary, tag, monkeypatch):
    tag = tag.replace("CANARY", str(canary))
    text = defaults.PARAMS.read_text(encoding="utf-8")
    for hostile in (text.replace("loss: infonce", f"loss: {tag}"), f"{text}\nmore: {tag}\n", tag):
        (tmp_path / "params.yaml").write_text(hostile)
        with pytest.raises(UserError, match="not YAML") as e:
            config.read(tmp_path / "params.yaml")
        assert len(str(e.value).splitlines()) == 1
    (tmp_path / "evil").mkdir()
    (tmp_path / "evil/params.yaml").write_text(f"loss: {tag}\n")
    monkeypatch.setattr(presets, "FOLDER", tmp_path)
    with pytest.raises(yaml.YAMLError):
        presets.main(["evil"])


def test_yaml_aliases_that_expand_to_gigabytes_are_refused(tmp_path):
    """Aliases of aliases expand to 9^9 words; the error shows a short part."""
    lines = ["x0: &x0 [" + ",".join(["word"] * 9) + "]"]
    lines += [f"x{i}: &x{i} [{','.join([f'*x{i - 1}'] * 9)}]" for i in range(1, 9)]
    text = defaults.PARAMS.read_text(encoding="utf-8").replace("loss: infonce", "loss: *x8")
    (tmp_path / "params.yaml").write_text("\n".join(lines) + "\n" + text)
    start = time.monotonic()
    with pytest.raises(UserError, match="loss: .*should be a valid string") as e:
        config.read(tmp_path / "params.yaml")
    assert time.monotonic() - start < 10 and len(str(e.value)) < 10_000


@pytest.mark.parametrize(
    "text",
    [
        "a: " + "[" * 20_000,
        "a: " + "{a: " * 3000,
        "- " * 3000,
        "seed: 1" + "0" * 5000,
        "seed: 0x" + "f" * 9000,
        "day: 2020-99-99",
    ],
    ids=["lists", "mappings", "items", "digits", "hexadecimal", "date"],
)
def test_huge_parameters_are_a_short_error(tmp_path, text):
    (tmp_path / "params.yaml").write_text(text)
    with pytest.raises(UserError) as e:
        config.read(tmp_path / "params.yaml")
    assert len(str(e.value)) < 20_000


def test_deeply_nested_json_is_an_error(audioset_folder, tmp_path):
    (audioset_folder / "ontology.json").write_text("[" * 100_000)
    with pytest.raises(UserError, match="not JSON, or damaged"):
        audioset_lists.Classes.read(data_params(descendants=True).audioset)
    model = build_untrained_model(video_encoder="shallow")
    checkpoint.save(tmp_path / "model", model.module, model.config)
    (tmp_path / "model/config.json").write_text("[" * 100_000)
    with pytest.raises(UserError, match="not a model"):
        checkpoint.load(tmp_path / "model")
