"""The table at the end of a run contains every metric with an interval, under its name in DVC."""

import io
import json
import subprocess
import sys

from rich.console import Console

from pipeline.config import ROOT
from pipeline.report import terminal_table

METRICS = {
    "correspondence": {
        "accuracy": 0.75,
        "auc": None,
        "n": 8,
        "ci": {"accuracy": [0.5, 0.875], "auc": None},
        "chance": {"accuracy": 0.5, "auc": 0.5},
    },
    "retrieval": {"audio_to_video": {"map": 0.5, "n": 4, "ci": {"map": None}, "chance": {"map": 0.25}}},
}


def test_rows():
    assert list(terminal_table.metric_rows(METRICS)) == [
        ("correspondence.accuracy", 0.75, [0.5, 0.875], 0.5, 8),
        ("retrieval.audio_to_video.map", 0.5, None, 0.25, 4),
    ]


def test_the_table_fits_a_terminal():
    console = Console(width=80, record=True, file=io.StringIO())
    terminal_table.print_metrics(METRICS, console)
    text = console.export_text()
    assert "correspondence.accuracy" in text and "0.500–0.875" in text
    assert max(map(len, text.splitlines())) <= 80


def test_from_the_command_line(tmp_path):
    command = [sys.executable, "-m", "pipeline.report.terminal_table"]
    environment = {"PYTHONPATH": str(ROOT), "PATH": "/usr/bin"}
    process = subprocess.run(command, cwd=tmp_path, env=environment, capture_output=True, text=True)
    assert process.returncode == 1 and process.stderr == "metrics/evaluate.json: not there: run dvc repro\n"
    (tmp_path / "metrics").mkdir()
    (tmp_path / "metrics/evaluate.json").write_text(json.dumps(METRICS))
    (tmp_path / "report").mkdir()
    (tmp_path / "report/index.html").touch()
    process = subprocess.run(command, cwd=tmp_path, env=environment, capture_output=True, text=True)
    assert process.returncode == 0 and process.stdout.endswith("Report: report/index.html\n")
