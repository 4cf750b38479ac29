"""Convert a published CAV-MAE checkpoint to a model: `python -m app.convert model.pth FOLDER`.

Reads a checkpoint of the authors' code (YuanGongND/cav-mae), pretrained or fine-tuned: `.pth`, loaded as
weights only, or `.safetensors`. Writes `model.safetensors` and `config.json` into a folder for
`train.start` or `models.checkpoint.load`.
"""

import argparse
import csv

from models.sharing import cav_mae_checkpoint
from pipeline.cli import run
from pipeline.errors import UserError

NAME_COLUMNS = ("display_name", "name", "label")  # possible columns of a list of classes


def read_classes(path: str) -> list[str]:
    """Read the names of a classifier's classes, in the order of its outputs.

    path: of a CSV file with one of the columns NAME_COLUMNS (AudioSet's class_labels_indices.csv), or of a
    text file with one name per line. Raises UserError if the file cannot be read or a line has no name.
    """
    try:
        with open(path, newline="", encoding="utf-8") as f:
            lines = f.read().splitlines()
    except (OSError, UnicodeDecodeError) as e:
        raise UserError(f"{path}: cannot be read ({e})") from None
    header = next(csv.reader(lines[:1]), [])
    column = next((header.index(name) for name in NAME_COLUMNS if name in header), None)
    if column is None:  # no CSV: a name may contain commas
        return [line.strip() for line in lines if line.strip()]
    rows = [row for row in csv.reader(lines[1:]) if row]
    for line_number, row in enumerate(rows, start=2):  # line 1 is the header
        if len(row) <= column:
            raise UserError(f"{path}: line {line_number} has no {header[column]}")
    return [row[column] for row in rows]


def convert() -> None:
    """Convert the checkpoint that the command line names to a model, and print its task and its size.

    Raises UserError if the checkpoint or the list of classes cannot be used.
    """
    parser = argparse.ArgumentParser(prog="python -m app.convert", description=__doc__.splitlines()[0])
    parser.add_argument("checkpoint", help="the published file")
    parser.add_argument("out", help="folder to write the model to")
    parser.add_argument(
        "--classes", help="class names of a fine-tuned model: a CSV file, or one name per line"
    )
    parser.add_argument(
        "--one-label", action="store_true", help="a clip has one label (VGGSound), not several"
    )
    for option, default in (("--heads", 12), ("--decoder-heads", 16)):
        parser.add_argument(
            option, type=int, default=default, help=f"attention heads ({default}, as published)"
        )
    arguments = parser.parse_args()
    class_names = read_classes(arguments.classes) if arguments.classes else None
    config = cav_mae_checkpoint.convert(
        arguments.checkpoint,
        arguments.out,
        class_names,
        arguments.one_label,
        heads=arguments.heads,
        decoder_heads=arguments.decoder_heads,
    )
    sizes = config["encoders"]["joint"]
    output = f"{len(config['classes'])} classes" if "classes" in config else "with its decoder"
    layers = f"{sizes['layers']} + {sizes['joint_layers']} layers"
    print(f"convert: {arguments.out}: {config['task']}, width {sizes['width']}, {layers}, {output}")


if __name__ == "__main__":
    run(convert)
