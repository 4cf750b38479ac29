"""The stage quality: report what is wrong with each clip, and which clips are copies of each other."""

from pathlib import Path

from pipeline.cli import run
from pipeline.config import load
from pipeline.quality.groups import find_groups
from pipeline.quality.table import count_flags, count_loudness, make_table, read_measures
from pipeline.store import clip_table
from pipeline.store.atomic import write_table
from pipeline.store.metric_files import write_csv
from pipeline.store.shards import read_index, row_numbers

AUDIO, VIDEO, FRAMES = "data/audio_quality", "data/video_quality", "data/frames"


def quality() -> None:
    """Write data/quality.parquet: measures, flags and group of each clip. Print the number of each flag."""
    params = load("quality")
    clips = clip_table.read("data/clips.parquet")
    indexes = [read_index(folder) for folder in (AUDIO, VIDEO, FRAMES)]
    audio, video, frames = (index.take(row_numbers(index, clips["clip_id"])) for index in indexes)
    groups = find_groups(AUDIO, audio, VIDEO, video, params.quality.duplicates)
    measures = read_measures(audio, video, frames)
    table = make_table(
        clips, measures, groups, params.quality, params.audio.sample_rate, params.data.clip_seconds
    )
    write_table(table, Path("data/quality.parquet"))
    counts = count_flags(table)
    write_csv([("fault", "clips"), *counts.items()], "metrics/quality.csv")
    write_csv([("loudness", "clips"), *count_loudness(table).items()], "metrics/loudness.csv")
    sizes = [f"{n} {flag}" for flag, n in counts.items() if n] or ["nothing wrong"]
    print(f"quality: {len(table)} clips in, {', '.join(sizes)}")


if __name__ == "__main__":
    run(quality)
