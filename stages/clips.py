"""The clip table: what there is to learn from, a row for each clip."""

from pathlib import Path

from pipeline import sources
from pipeline.cli import run
from pipeline.config import load
from pipeline.store import clip_table as table
from pipeline.store.atomic import write_table
from pipeline.store.metric_files import write_csv, write_json
from pipeline.store.summary import classes, describe


def clips() -> None:
    params = load("clips")
    source = sources.get(params.data.source)
    found = source.clips(params.data)
    table.check(found, params.data.source)
    Path("data").mkdir(exist_ok=True)
    write_table(found, Path("data/clips.parquet"))
    summary = describe(found)
    write_json(summary, "metrics/clips.json")
    write_csv([("label", "clips"), *classes(found).items()], "metrics/classes.csv")
    for note in source.notes(params.data, found):
        print(f"clips: {note}")
    print(f"clips: {summary['clips']} clips, {summary['classes']} classes, from {params.data.source}")


if __name__ == "__main__":
    run(clips)
