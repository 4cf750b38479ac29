"""The example of docs/pipeline.md, followed to the letter: only dvc.yaml names a new data stage."""

import re
import shutil

from app.failures import collect_failures
from experiments import study_data
from testing.project import ROOT, Project

TEXT = (ROOT / "docs/pipeline.md").read_text(encoding="utf-8").split("## Add a stage\n")[1]
CODE = dict(re.findall(r"^\*\*`(\S+\.py)`\*\*\n\n```python\n(.+?)^```", TEXT, re.MULTILINE | re.DOTALL))
[ENTRY] = re.findall(r"^```yaml\n(.+?)^```", TEXT, re.MULTILINE | re.DOTALL)
REPORT_DEP = "      - data/media/index.parquet\n"


def add_stage(project: Project) -> None:
    for name, code in CODE.items():
        (project / name).write_text(code, encoding="utf-8")
    text = (project / "dvc.yaml").read_text(encoding="utf-8")
    assert text.count(REPORT_DEP) == text.count("\n  split:\n") == 1
    text = text.replace("\n  split:\n", f"\n{ENTRY}\n  split:\n")
    text = text.replace(REPORT_DEP, f"      - data/level/index.parquet\n{REPORT_DEP}")
    (project / "dvc.yaml").write_text(text, encoding="utf-8")


def test_report_failures_and_studies_take_in_a_new_data_stage(project):
    add_stage(project)
    shutil.copy(ROOT / "pyproject.toml", project / "pyproject.toml")
    project.run_command("ruff", "check", *CODE)
    project.run_command("ruff", "format", "--check", *CODE)

    statuses = [row["status"] for row in project.rows("wav/index.parquet")]
    assert project.run("level").startswith(f"level: 40 clips in, {statuses.count('ok')} ok, ")
    project.run("report")
    page = (project / "report/index.html").read_text(encoding="utf-8")
    stages = re.findall(r'<div class="stage"><b>(\w+)</b>', page)
    assert stages == [
        "download",
        "wav",
        "spectrogram",
        "frames",
        "audio_towers",
        "video_towers",
        "audio_quality",
        "video_quality",
        "level",
        "split",
    ]

    failures_by_stage = collect_failures(project.root)
    assert (
        "level" in failures_by_stage and failures_by_stage["level"].keys() == failures_by_stage["wav"].keys()
    )
    assert study_data.stages(project.root)[-3:] == ("level", "split", "statistics")
