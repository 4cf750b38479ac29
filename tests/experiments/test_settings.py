"""Settings of all systems: flags that DVC takes, and parameters that are right once they are applied."""

import subprocess
import sys

import pytest
import yaml

from experiments.__main__ import main, settings_files
from pipeline.config import ROOT, read
from testing import defaults

FILES = settings_files()


@pytest.mark.parametrize("name", FILES)
def test_settings_give_right_parameters(name, tmp_path, monkeypatch):
    monkeypatch.chdir(ROOT)
    words = main([name]).split()
    assert words[::2] == ["-S"] * (len(words) // 2)
    values = yaml.safe_load(defaults.PARAMS.read_text())
    for word in words[1::2]:
        key, _, value = word.partition("=")
        *parents, last = key.removeprefix("+").split(".")
        place = values
        for parent in parents:
            assert parent in place or key.startswith("+")
            place = place.setdefault(parent, {})
        assert (last in place) != key.startswith("+")
        # PyYAML takes 1e-05 for text, as YAML 1.1 says; 1.0e-05 is a number.
        place[last] = yaml.safe_load(value)
    (tmp_path / "params.yaml").write_text(yaml.safe_dump(values))
    settings = yaml.safe_load(FILES[name].read_text())
    assert read(tmp_path / "params.yaml").task == settings.get("task", "matching")


def test_every_system_has_settings():
    systems = {path.parent.name for path in (ROOT / "experiments").glob("*/published.yaml")}
    assert systems and systems == {path.parent.name for path in FILES.values()}
    assert {"cav_mae", "objects_that_sound/avenet"} <= FILES.keys()


def test_the_command_prints_flags_and_an_unknown_name_lists_those_that_are_there(monkeypatch):
    monkeypatch.chdir(ROOT)
    right, wrong = (
        subprocess.run(
            [sys.executable, "-m", "experiments", name], capture_output=True, text=True, timeout=60
        )
        for name in ("cav_mae", "avnet")
    )
    assert right.returncode == 0 and right.stdout == main(["cav_mae"]) + "\n"
    assert wrong.returncode == 1 and ", ".join(FILES) in wrong.stderr
