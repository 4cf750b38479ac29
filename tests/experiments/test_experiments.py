"""Every preset: flags that DVC takes, and parameters that are right once they are applied."""

import subprocess
import sys

import pytest
import yaml

from pipeline.config import ROOT, read
from testing import defaults

PRESETS = sorted(p.stem for p in (ROOT / "experiments").glob("*.yaml"))


def flags(name):
    command = [sys.executable, "-m", "experiments", name]
    return subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=60)


@pytest.mark.parametrize("name", PRESETS)
def test_a_preset_gives_right_parameters(name, tmp_path):
    words = flags(name).stdout.split()
    assert words[::2] == ["-S"] * (len(words) // 2)
    values = yaml.safe_load(defaults.PARAMS.read_text())
    for word in words[1::2]:
        key, _, value = word.partition("=")
        *parents, last = key.removeprefix("+").split(".")
        place = values
        for parent in parents:
            place = place[parent]
        assert (last in place) != key.startswith("+")
        # PyYAML takes 1e-05 for text, as YAML 1.1 says; 1.0e-05 is a number.
        place[last] = yaml.safe_load(value)
    (tmp_path / "params.yaml").write_text(yaml.safe_dump(values))
    wanted = yaml.safe_load((ROOT / "experiments" / f"{name}.yaml").read_text())
    assert read(tmp_path / "params.yaml").task == wanted.get("task", "matching")


def test_an_unknown_name_lists_those_that_are_there():
    ended = flags("avnet")
    assert ended.returncode == 1 and ", ".join(PRESETS) in ended.stderr
