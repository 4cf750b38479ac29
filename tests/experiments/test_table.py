"""The README files of experiments/ say what published.yaml and metrics.json say."""

import json
import re
import shutil
from pathlib import Path

import pytest
import yaml

from experiments import readme, table
from experiments.published import Row, find_result, read_published
from pipeline.config import ROOT
from pipeline.errors import UserError

SYSTEMS = table.system_folders()
NAMES = [folder.name for folder in SYSTEMS]


def test_every_readme_is_what_is_generated():
    for path, text in table.generate_texts().items():
        assert readme.read_generated(path) == text.strip(), (
            f"{path} is not up to date: python -m experiments.table"
        )


def test_every_folder_of_a_system_is_in_the_table():
    folders = [path.parent.name for path in sorted((ROOT / "experiments").glob("*/README.md"))]
    assert folders == NAMES and len(NAMES) >= 5
    rows = readme.read_generated(ROOT / "experiments/README.md").splitlines()
    assert rows[0] == "| " + " | ".join(table.COLUMNS) + " |"
    for folder in SYSTEMS:
        about = read_published(folder)
        assert all(find_result(row, folder) for row in about.rows if row.here)  # of the committed results
        mine = [row for row in rows if f"({folder.name}/README.md)" in row]
        assert len(mine) == len(about.rows) and all(about.command in row for row in mine)


@pytest.mark.parametrize("folder", SYSTEMS, ids=NAMES)
def test_a_system_is_complete(folder):
    files = {path.name for path in folder.iterdir()}
    if "study.yaml" in files:
        assert {"dvc.yaml", "table.py", "metrics.json"} <= files
        command = read_published(folder).command
        makefile = (ROOT / "Makefile").read_text(encoding="utf-8")
        target = re.search(
            rf"^{command.removeprefix('make ')}: setup .*\n((?:\t.*\n)+)", makefile, re.MULTILINE
        )
        assert target and f"dvc --cd experiments/{folder.name} repro" in target[1]
        assert "python -m experiments.table" in target[1]
    text = (folder / "README.md").read_text(encoding="utf-8")
    assert read_published(folder).command in text and f"python -m experiments {folder.name}" in text


@pytest.mark.parametrize("folder", SYSTEMS, ids=NAMES)
def test_what_the_readme_says_was_published_is_in_the_table(folder):
    text = (folder / "README.md").read_text(encoding="utf-8").partition(readme.BEGIN)[0]
    for row in read_published(folder).rows:
        for number in re.findall(r"\.?\d[\d.]*", row.published):
            assert number in text, (folder.name, number)


@pytest.mark.parametrize(
    "path", [ROOT / "experiments/README.md", *(f / "README.md" for f in SYSTEMS)], ids=str
)
def test_every_link_leads_somewhere(path):
    for target in re.findall(r"\]\(([^)#]+)", path.read_text(encoding="utf-8")):
        assert "://" in target or (path.parent / target).exists(), target


# --- on files made for it -------------------------------------------------------------------------------


@pytest.fixture
def toy(tmp_path, monkeypatch) -> Path:
    """A folder of systems with one more than there are; it has no study."""
    shutil.copytree(
        ROOT / "experiments", tmp_path / "experiments", ignore=shutil.ignore_patterns("data", "models")
    )
    folder = tmp_path / "experiments/toy"
    folder.mkdir()
    row = {"model": "toy", "metric": "accuracy", "published": ".5"}
    about = {"system": "Toy", "source": "a test", "published_data": "dice", "data": "dice", "command": "true"}
    (folder / "published.yaml").write_text(yaml.safe_dump(about | {"rows": [row]}))
    monkeypatch.setattr(table, "FOLDER", tmp_path / "experiments")
    return folder


def test_a_new_system_is_taken_in_by_being_there(toy, capsys):
    table.table()
    text = readme.read_generated(toy.parent / "README.md")
    assert (
        "| [Toy](toy/README.md) | dice | toy | accuracy | .5 (dice) | not measured | `true` | not recorded"
        in text
    )
    assert capsys.readouterr().out.startswith("table: wrote ")


def test_what_is_written_by_hand_stays(toy):
    path = toy.parent / "README.md"
    before, after = path.read_text().split(readme.BEGIN)[0], path.read_text().split(readme.END)[1]
    readme.replace_generated(path, "| new |")
    assert path.read_text() == f"{before}{readme.BEGIN}\n\n| new |\n\n{readme.END}{after}"
    path.write_text("all by hand")
    with pytest.raises(UserError, match="README.md: needs a line"):
        readme.replace_generated(path, "x")


def test_a_result_is_taken_from_its_place(toy):
    def result(*here, key="accuracy"):
        return find_result(Row(model="m", metric="m", published="1", here=list(here), key=key), toy)

    row = {"name": "b", "accuracy": 0.25, "accuracy_ci": [0.1, 0.4], "accuracy_seeds": [0.25], "n": 9}
    cell = {"eer": 0.5, "ci": {"eer": [0.4, 0.6]}, "n": 7, "seeds": [0.4, 0.6]}
    (toy / "metrics.json").write_text(json.dumps({"results": {"rows": [row], "x": {"y": cell}}}))
    assert str(result("rows", "b")) == str(result("rows", 0)) == "0.250 [0.100, 0.400]; 1 seed, n 9"
    assert str(result("x", "y", key="eer")) == "0.500 [0.400, 0.600]; 2 seeds, n 7"
    for missing in (("rows", "c"), ("x", "z"), ("x", "y", "eer"), ("x",)):
        assert result(*missing) is None


def test_how_long_a_study_took_is_known_only_where_all_of_it_is_recorded(toy):
    assert table.last_run(toy) == ("not recorded", "not recorded")
    (toy / "metrics").mkdir()
    (toy / "metrics/a.json").write_text(json.dumps({"run": {"date": "2026-01-02", "minutes": 1.4}}))
    (toy / "metrics.json").write_text(json.dumps({"run": {"date": "2026-01-01", "minutes": 3.0}}))
    assert table.last_run(toy) == ("2026-01-02", "4 min")
    (toy / "metrics/b.json").write_text("{}")
    assert table.last_run(toy) == ("2026-01-02", "not recorded")
