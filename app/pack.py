"""Pack the clips of this project as a data set: shards for `webdataset` or Hugging Face `datasets`.

OUT gets data/ with the shards, clips.parquet, README.md (a data set card), croissant.json, and left_out.csv
with the reason for each clip that is not there. If the command is killed, run it again: it continues.

examples:
  python -m app.pack dist/clips
  python -m app.pack dist/tars --format webdataset --with sound,frames,media --shard-mb 1000
  python -m app.pack dist/test --split test --with media
  python -m app.pack dist/clips --push user/clips --private
"""

import argparse
import math
from pathlib import Path

from pipeline.cli import run
from pipeline.errors import UserError
from pipeline.pack.selection import CONTENTS
from pipeline.store.clip_table import SPLITS

FORMATS = ("parquet", "webdataset")
LABELS_ONLY = "labels"
SHARD_MB = 256.0


def parse_arguments(arguments: list[str] | None = None) -> argparse.Namespace:
    """Read the command line, or `arguments` instead of it. Raises UserError for options that do not fit."""
    summary, details = __doc__.split("\n\n", 1)
    parser = argparse.ArgumentParser(
        prog="python -m app.pack",
        description=summary,
        epilog=details,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    add = parser.add_argument
    add("out", metavar="OUT", help="output folder: a new one, or one of an earlier run")
    add("--format", choices=FORMATS, default="parquet", help="format of the shards (parquet)")
    add(
        "--with",
        dest="contents",
        metavar="CONTENTS",
        default="sound,frames",
        help="what of a clip is packed: some of sound (WAV), frames (PNG) and media (the source's files),"
        " separated by commas; or labels, for no media at all (sound,frames)",
    )
    add("--split", metavar="SPLITS", default=",".join(SPLITS), help="some of train,val,test (all)")
    add("--shard-clips", type=_parse_count, metavar="N", help="at most N clips in a shard")
    add(
        "--shard-mb",
        type=_parse_positive,
        metavar="MB",
        default=SHARD_MB,
        help=f"at most about so many MB in a shard, unless one clip has more ({SHARD_MB:g})",
    )
    add("--name", help="title of the data set; by default the name of OUT, or of the repository")
    add("--push", metavar="USER/REPO", help="upload it to Hugging Face, as a data set")
    add("--private", action="store_true", help="with --push: the repository is private")
    options = parser.parse_args(arguments)
    options.contents = _parse_list("--with", options.contents, (*CONTENTS, LABELS_ONLY))
    options.split = _parse_list("--split", options.split, SPLITS)
    if LABELS_ONLY in options.contents and len(options.contents) > 1:
        raise UserError(f"--with: {LABELS_ONLY} is for no media: leave it out, rows always have their labels")
    if options.private and not options.push:
        raise UserError("--private: needs --push")
    return options


def _parse_list(option: str, text: str, choices: tuple[str, ...]) -> tuple[str, ...]:
    """Return the words of an option, such as `sound,frames`, in the order of `choices`."""
    words = {word.strip() for word in text.split(",")} - {""}
    for word in sorted(words - set(choices)):
        raise UserError(f"{option}: {word!r} is not one of {', '.join(choices)}")
    if not words:
        raise UserError(f"{option}: is empty: use some of {', '.join(choices)}")
    return tuple(choice for choice in choices if choice in words)


def _parse_count(text: str) -> int:
    if (value := int(text)) < 1:
        raise argparse.ArgumentTypeError("must be 1 or more")
    return value


def _parse_positive(text: str) -> float:
    value = float(text)
    if not (math.isfinite(value) and value > 0):
        raise argparse.ArgumentTypeError("must be above 0")
    return value


def pack() -> None:
    """Pack the clips as the command line says, and with --push upload them. Raises UserError."""
    options = parse_arguments()
    from pipeline.pack import data_set
    from pipeline.pack.selection import select
    from pipeline.pack.writer import Settings

    contents = tuple(content for content in options.contents if content != LABELS_ONLY)
    source = data_set.read_source()
    if options.push:
        from models import hub  # not needed without --push

        hub.check_repository_name(options.push)
        if source.is_youtube and contents and not options.private:
            raise UserError(
                "--push: YouTube's terms do not allow to publish its media: use --private, or --with labels"
            )
    settings = Settings(options.format, contents, options.split, options.shard_clips, options.shard_mb)
    out = Path(options.out)
    name = options.name or (options.push or "").rpartition("/")[2] or out.resolve().name
    selection = select(contents, options.split)
    if "media" in contents and selection.n_files < len(selection.rows):
        print(
            f"pack: {len(selection.rows)} clips are parts of {selection.n_files} files: each gets a copy of"
            " the whole file, and its start and end",
            flush=True,
        )
    packed = data_set.write_data_set(out, selection, settings, source, name, options.push)
    n_left_out = selection.n_clips - selection.n_other_splits - len(selection.rows)
    others = f", {selection.n_other_splits} of other splits" if selection.n_other_splits else ""
    print(
        f"pack: {out}: {len(selection.rows)} clips in {len(packed.records)} shards,"
        f" {n_left_out} left out (left_out.csv){others}"
    )
    print(f"pack: rights: {source.rights}", flush=True)
    if options.push:
        url = hub.push(out, options.push, options.private, kind="dataset")
        print(f"pack: {url}")


if __name__ == "__main__":
    run(pack)
