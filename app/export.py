"""The trained model as a folder to hand on, and with --push on Hugging Face: `python -m app.export`."""

import argparse
import json

from models.checkpoint import CONFIG
from models.sharing import hub
from models.sharing.export import export as write
from pipeline.cli import run
from pipeline.errors import UserError


def export() -> None:
    parser = argparse.ArgumentParser(prog="python -m app.export", description=__doc__)
    parser.add_argument("--checkpoint", default="checkpoints", help="a folder with a model (checkpoints)")
    parser.add_argument("--name", help="of the folder that is written; else made of what was trained")
    parser.add_argument("--out", default="dist", help="where it is written (dist)")
    parser.add_argument("--push", metavar="USER/REPO", help="upload it to Hugging Face")
    parser.add_argument(
        "--private", action="store_true", help="of --push: a repository that is new is private"
    )
    given = parser.parse_args()
    if given.private and not given.push:
        raise UserError("--private: goes with --push")
    if given.push:
        hub.check(given.push)
    folder = write(given.checkpoint, given.out, given.name, given.push)
    print(f"export: {folder}: {', '.join(sorted(path.name for path in folder.iterdir()))}", flush=True)
    for file, about in json.loads((folder / CONFIG).read_text(encoding="utf-8"))["onnx"].items():
        if "missing" in about:
            print(f"export: no {file}: {about['missing']}", flush=True)
        for axis, why in about.get("fixed", {}).items():
            print(f"export: {file} takes one number for {axis} alone: {why.partition(': ')[0]}", flush=True)
    if given.push:
        print(f"export: {hub.push(folder, given.push, given.private)}")


if __name__ == "__main__":
    run(export)
