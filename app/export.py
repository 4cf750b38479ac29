"""Export the trained model to a folder, and with --push to Hugging Face: `python -m app.export`."""

import argparse
import json

from models.checkpoint import CONFIG
from models.sharing import hub
from models.sharing.export import export as write_export
from pipeline.cli import run
from pipeline.errors import UserError


def export() -> None:
    """Run the command."""
    parser = argparse.ArgumentParser(prog="python -m app.export", description=__doc__)
    parser.add_argument("--checkpoint", default="checkpoints", help="folder of the model (checkpoints)")
    parser.add_argument("--name", help="name of the export; by default made of the task and the encoders")
    parser.add_argument("--out", default="dist", help="folder to write the export into (dist)")
    parser.add_argument("--push", metavar="USER/REPO", help="upload it to Hugging Face")
    parser.add_argument("--private", action="store_true", help="with --push: a new repository is private")
    arguments = parser.parse_args()
    if arguments.private and not arguments.push:
        raise UserError("--private: needs --push")
    if arguments.push:
        hub.check_repository_name(arguments.push)
    folder = write_export(arguments.checkpoint, arguments.out, arguments.name, arguments.push)
    print(f"export: {folder}: {', '.join(sorted(path.name for path in folder.iterdir()))}", flush=True)
    for file, facts in json.loads((folder / CONFIG).read_text(encoding="utf-8"))["onnx"].items():
        if "missing" in facts:
            print(f"export: no {file}: {facts['missing']}", flush=True)
        for axis, why in facts.get("fixed", {}).items():
            print(f"export: {file} has a fixed size for {axis}: {why.partition(': ')[0]}", flush=True)
    if arguments.push:
        print(f"export: {hub.push(folder, arguments.push, arguments.private)}")


if __name__ == "__main__":
    run(export)
