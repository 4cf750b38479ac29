"""Names that files give: what may stand in params.yaml once a file is there."""

from pipeline.config import fields
from pipeline.config.fields import component_names, source_names


def test_a_new_component_is_a_name_at_once(tmp_path, monkeypatch):
    (tmp_path / "models/losses").mkdir(parents=True)
    for name in ("mine", "_helper", "__init__"):
        (tmp_path / f"models/losses/{name}.py").touch()
    monkeypatch.setattr(fields, "ROOT", tmp_path)
    assert component_names("losses") == ("mine",)


def test_a_source_is_a_module_or_a_package_that_fetches(tmp_path, monkeypatch):
    files = {
        "__init__": "def fetch(): ...",
        "mine": "def clips(data): ...\n\n\ndef fetch(clip, data): ...\n",
        "helper": "def prefetch(): ...\n",
        "whole/__init__": "def fetch(clip, data): ...\n",
        "parted/__init__": "from pipeline.sources.parted.clips import clips, fetch\n",
        "parts/__init__": "",
    }
    for name, text in files.items():
        path = tmp_path / f"pipeline/sources/{name}.py"
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)
    monkeypatch.setattr(fields, "ROOT", tmp_path)
    assert source_names() == ("mine", "parted", "whole")


def test_the_projects_sources():
    names = "archive audioset ave crema_d ensemble folder music people vggsound voxceleb"
    assert source_names() == tuple(names.split())
