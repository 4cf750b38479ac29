"""Export the trained model to a folder, and with --push to Hugging Face: `python -m app.export`."""

import argparse
import json

from models import hub
from models.checkpoint import CONFIG
from models.sharing.export import export as write_export
from pipeline.cli import run
from pipeline.errors import UserError


def parse_arguments() -> argparse.Namespace:
    """Read the command line. Raises UserError for options that do not fit together."""
    parser = argparse.ArgumentParser(prog="python -m app.export", description=__doc__)
    parser.add_argument("--checkpoint", default="checkpoints", help="folder of the model (checkpoints)")
    parser.add_argument("--name", help="name of the export; by default made of the task and the encoders")
    parser.add_argument("--out", default="dist", help="folder to write the export into (dist)")
    parser.add_argument("--push", metavar="USER/REPO", help="upload it to Hugging Face")
    parser.add_argument("--private", action="store_true", help="with --push: a new repository is private")
    arguments = parser.parse_args()
    if arguments.private and not arguments.push:
        raise UserError("--private: needs --push")
    return arguments


def export() -> None:
    """Write the trained model as files for other programs, as the command line says, and print their names.

    With --push, also upload them to a repository on Hugging Face. Prints which networks could not be written
    as ONNX files, and which sizes of their inputs are fixed. Raises UserError.
    """
    arguments = parse_arguments()
    if arguments.push:
        hub.check_repository_name(arguments.push)
    folder = write_export(arguments.checkpoint, arguments.out, arguments.name, arguments.push)
    print(f"export: {folder}: {', '.join(sorted(path.name for path in folder.iterdir()))}", flush=True)
    config = json.loads((folder / CONFIG).read_text(encoding="utf-8"))
    for file_name, onnx_file in config["onnx"].items():
        if "missing" in onnx_file:
            print(f"export: no {file_name}: {onnx_file['missing']}", flush=True)
        for axis, reason in onnx_file.get("fixed", {}).items():
            short_reason = reason.split(": ")[0]  # without the details of an exception
            print(f"export: {file_name} has a fixed size for {axis}: {short_reason}", flush=True)
    if arguments.push:
        url = hub.push(folder, arguments.push, arguments.private)
        print(f"export: {url}")


if __name__ == "__main__":
    run(export)
