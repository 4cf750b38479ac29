"""The stage clips: write the clip table, a row for each clip of the data source, and count its classes."""

from pathlib import Path

from pipeline import sources
from pipeline.cli import run
from pipeline.config import load
from pipeline.store import clip_table
from pipeline.store.atomic import write_table
from pipeline.store.metric_files import write_csv, write_json
from pipeline.store.summary import count_clips, count_labels


def clips() -> None:
    """Write data/clips.parquet, the table of all clips of the source, and count the clips of each class."""
    params = load("clips")
    source = sources.get(params.data.source)
    table, lines = source.clips(params.data)
    clip_table.validate(table, params.data.source)
    if getattr(source, "LONG_FILES", False):
        from pipeline.sources.cutting import cut_files  # imports the engine

        table, line = cut_files(table, params.data, params.engine)
        lines.append(line)
    if params.data.labels:
        from pipeline.sources import labels  # imports the engine

        table, label_lines = labels.join(table, params.data.labels)
        lines += label_lines
    Path("data").mkdir(exist_ok=True)
    write_table(table, Path("data/clips.parquet"))
    summary = count_clips(table)
    write_json(summary, "metrics/clips.json")
    write_csv([("label", "clips"), *count_labels(table).items()], "metrics/classes.csv")
    for line in lines:
        print(f"clips: {line}")
    print(f"clips: {summary['clips']} clips, {summary['classes']} classes, from {params.data.source}")


if __name__ == "__main__":
    run(clips)
