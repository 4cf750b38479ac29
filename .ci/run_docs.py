"""Run every command and every piece of Python of the documentation, in its order, and look at what it prints.

    python .ci/run_docs.py [PAGE ...]

Two groups of pages have a fresh clone of the last commit each, in which `params.yaml` is committed with small
sizes. The commands are those of the page, to the letter, save for the folders /my, /data and /nfs. Each
section begins with `git restore .`. All pieces of Python of a page are one program, run where it ends. What
README or an earlier page of the group has too is not run again, save on the pages in WHOLE.

What a command must print is in PRINTS; one that is not run is in NOT_RUN, with the reason. A command in
neither, and an entry for no command, are errors: whoever writes a command says here what it prints.
"""

import os
import re
import shlex
import shutil
import signal
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
VENV = ROOT / ".venv"
GROUPS = (  # the pages of a group share a clone, one after the other
    (
        "README.md",
        "docs/experiments.md",
        "docs/hardware.md",  # its run leaves a model of the default parameters, which the next pages use
        "docs/outputs.md",
        "docs/search.md",
        "docs/export.md",
        "docs/fine_tuning.md",
        "docs/benchmarks.md",
        "docs/scaling.md",
        "docs/troubleshooting.md",
    ),
    (
        "docs/data.md",
        "docs/quality.md",
        "docs/datasets.md",
        "docs/encoders.md",
        "docs/towers.md",
        "docs/cav_mae.md",
        "docs/tasks.md",
        "docs/protocols.md",
        "videos/README.md",
        "CONTRIBUTING.md",
    ),
)
WHOLE = ("docs/cav_mae.md",)  # each command goes on from the one before
PROGRAMS = ("dvc", "git", "hf", "make", "python", "ray", "torchrun", "export", "source", "pip", "uv")
LIMIT = 900  # s for one command

SMALL = [  # what is committed in the clones, as DVC sets it
    "data.clip_seconds=1.5",
    "data.ensemble.clips=60",
    "data.ensemble.test_clips=0",
    "data.ensemble.negatives=0",
    "data.people.people=8",
    "data.people.clips=64",
    "audio.sample_rate=8000",
    "audio.n_fft=256",
    "audio.win_length=200",
    "audio.hop_length=80",
    "audio.n_mels=16",
    "audio.window_seconds=0.5",
    "video.frames=2",
    "video.height=32",
    "video.width=32",
    "faces.size=32",
    "train.epochs=3",
    "train.batch_size=8",
    "train.embedding_dim=16",
    "pretraining.train.epochs=2",
    "pretraining.train.batch_size=8",
    "+encoders.audio.cnn_small.width=8",
    *(f"+encoders.joint.cav_mae.{size}" for size in ("patch=8", "width=32", "heads=2", "layers=1")),
    "evaluate.bootstrap=100",
    "engine.workers=1",
]
FEW = "-S data.ensemble.clips=60 -S data.ensemble.test_clips=0 -S data.clip_seconds=1.5 -S train.epochs=1"

SERVED = r"http://127\.0\.0\.1:\d+"
RAN = r"Ran experiment\(s\): .+"
PRINTS = {  # command, or how it begins -> a pattern of its output
    "make repro": r"retrieval\.video_to_video\.map +│ 0\.\d+(?s:.)+Report: report/index.html",
    "dvc exp run -S data.source=folder": r"clips: 25 clips, 2 classes, from folder(?s:.)+" + RAN,
    "dvc exp run -S data.source=folder -S data.folder=/my/videos": RAN,
    "dvc exp run $(python -m experiments small_data)": r"video_towers: (?s:.)+" + RAN,
    "dvc exp run -S data.source=folder -S data.folder=/data/digits": r"clips: 48 pairs by label: 48 of 48"
    r"(?s:.)+" + RAN,
    "dvc exp run -S data.source=folder -S data.folder=/my/sounds": r"clips: 48 clips, 2 classes(?s:.)+" + RAN,
    # The clips are those of the command before.
    "dvc exp run -S data.source=folder -S data.folder=/my/sounds -S modality=audio -S pairing": RAN,
    "dvc exp run -S data.source=archive": r"clips: 24 clips, 2 classes, from archive(?s:.)+" + RAN,
    "dvc exp run -S data.source=crema_d": r"clips: 24 clips, 6 classes, from crema_d(?s:.)+" + RAN,
    "dvc exp run -S data.source=voxceleb": r"clips: 24 clips, 4 classes, from voxceleb(?s:.)+" + RAN,
    "dvc exp run -S loss=triplet": RAN,
    "dvc exp run -S media.decoder=ffmpeg": RAN,
    "dvc metrics diff": r"Path +Metric(?s:.)+evaluate\.json +correspondence\.auc",
    "dvc params diff": r"params\.yaml +loss +infonce +triplet",
    "dvc repro statistics": r"",
    "python -m experiments compare": r"correspondence\.auc \| \d+ \| 0\.\d+(?s:.)+compare: wrote comparison/",
    "python -m experiments seeds": r"correspondence\.auc \| \d+ \| 0\.\d+ ± 0\.(?s:.)+compare: wrote runs/",
    "python -m experiments folds": r"fold 4 of 4(?s:.)+correspondence\.auc \| \d+(?s:.)+compare: wrote runs/",
    "dvc exp run --queue": r"Queued experiment ",
    "dvc queue start": r"Started|worker",
    "dvc queue status": r"Success",
    "dvc exp show": r"Experiment +.*correspondence\.accuracy +correspondence\.auc +loss *\n"
    r"(?s:.)+\d\.\d+ +infonce(?s:.)*triplet",
    "make app": SERVED,
    "python -m app.search holiday.mp4": r"\d\.\d\d",
    "python -m app.probe timm/resnet18 timm/test_vit": r"Linear probing: accuracy(?s:.)+test_vit",
    "python -m app.search bell.wav --find video": r"answer\.html|\d\.\d\d",
    "make export": r"dist/",
    "python -m app.export --name bells": r"dist/bells",
    "dvc exp run -S task=classification -S train.start": r"train: starts from dist/bells: "
    r"audio encoder (\d+) of \1 weights, video encoder (\d+) of \2, head 0 of 4(?s:.)+" + RAN,
    "python -m app.features /my/videos features": r"24 ",
    "python -m app.features /my/videos features --side": r"24 ",
    "python -m app.pack dist/clips": r"pack: dist/clips: \d+ clips in \d shards, \d+ left out",
    "python -m app.pack dist/tars": r"pack: dist/tars: \d+ clips in \d shards, \d+ left out",
    "dvc exp run -S train.epochs=30": RAN,
    "dvc exp run $(python -m experiments objects_that_sound/avolnet)": r"evaluate: (?s:.)+" + RAN,
    "dvc exp run -S data.source=people": r"evaluate: .*classification accuracy(?s:.)+" + RAN,
    "dvc exp run -S task=pretraining": r"pretrain: epoch \d of 2 is kept(?s:.)+" + RAN,
    "dvc exp run -S task=classification -S encoder=cav_mae": r"classification accuracy(?s:.)+" + RAN,
    "dvc exp run $(python -m experiments videosound_matching)": r"from folder(?s:.)+" + RAN,
    "dvc exp run -S engine.storage=/nfs/earsight": RAN,
    "dvc exp run -S classification.frozen=true": RAN,
    "dvc exp run -S classification.frozen=false": RAN,
    "dvc exp run -S audio_encoder=lstm": RAN,
    "dvc exp run -S 'quality.drop=": r"split: 60 clips in, (?s:.)+" + RAN,
    "dvc exp run -S data.ensemble.faults=0.5 quality": r"quality: 60 clips in, (?s:.)+" + RAN,
    "dvc exp run -S video_encoder=timm/resnet18": RAN,
    "dvc exp run -S audio_encoder=bands": RAN,
    "dvc exp run -S loss=soft_triplet": RAN,
    "dvc exp run -S data.source=kinetics": r"clips: \d+ clips, 2 classes, from kinetics(?s:.)+" + RAN,
    "dvc exp run -S data.source=vggsound": r"clips: 24 clips, 2 classes, from vggsound(?s:.)+" + RAN,
    "dvc exp run -S data.source=ave -S data.folder=/data/AVE_Dataset -S data.ave.lists=/data/AVE_Dataset -S"
    " data.ave.whole": r"evaluate: ave: \d+ of the \d+ published clips(?s:.)+" + RAN,
    "dvc exp run -S data.source=voxceleb -S data.folder=/data/VoxCeleb1 -S data.voxceleb.trials": r"evaluate:"
    r" voxceleb1_o: \d+ of the \d+ published clips(?s:.)+" + RAN,
    "dvc exp run -S data.source=ave": r"clips: 24 clips, 2 classes, from ave(?s:.)+" + RAN,
    "dvc exp run -S data.source=music": r"clips: 24 clips, 2 classes, from music(?s:.)+" + RAN,
    "python -m pipeline.config.schema": r"",
    "python -m pytest tests/models/test_components.py -k bands": r"\d+ passed",
    "python -m pytest tests/models/test_components.py -k soft_triplet": r"\d+ passed",
}
MORE = {  # flags that follow, so that published sizes do not take hours here
    "dvc exp run $(python -m experiments objects_that_sound/avolnet)": f"{FEW} -S data.ensemble.negatives=8",
    "dvc exp run $(python -m experiments videosound_matching)": f"{FEW} -S video.frames=4"
    " -S video.window_frames=4 -S video.height=32 -S video.width=32 -S audio.window_seconds=0.5",
    # Random weights: nothing is downloaded.
    "dvc exp run $(python -m experiments small_data)": "-S ++encoders.audio.timm.pretrained=false"
    " -S ++encoders.video.timm.pretrained=false",
}
NOT_RUN = {
    "dvc exp run -S 'towers.video=[timm/tf_efficientnet_lite0]'": "network: weights",
    "dvc exp run -S 'towers.video=[hf/": "network: Hugging Face",
    "dvc exp run -S 'evaluate.zero_shot=": "needs the model of the command before",
    'python -m app.search --text "a church bell"': "needs the model of the command before",
    "make test": "the gate runs it",
    "make lint": "the gate runs it",
    "make setup": "the gate runs it",
    "make coverage": "the tests again",
    "make grid": "hours",
    "make shared-encoder": "half an hour",
    "make identification": "half an hour",
    "make cav-mae": "half an hour",
    "make bench": "hours",
    "dvc exp run -S data.source=audioset": "network: YouTube",
    "dvc exp run -S data.source=vggsound -S data.media=youtube": "network: YouTube",
    "dvc exp run -S data.source=ave -S data.media=youtube": "network: YouTube",
    "dvc exp run -S data.source=music -S data.media=youtube": "network: YouTube",
    "python -m app.failures": "network: what YouTube refused",
    "dvc repro": "network: fetches from YouTube what failed",
    "python -m app.export --checkpoint experiments/videosound_matching/models": "a model of make grid: hours",
    "python -m app.export --push": "network: Hugging Face",
    "python -m app.pack dist/clips --push": "network: Hugging Face",
    "hf auth login": "network: Hugging Face",
    "git tag -a model@v1.0.0": "network: a Git server and a DVC remote",
    "dvc artifacts get": "network: a Git server and a DVC remote",
    "dvc exp run -S engine.storage=s3://bucket/earsight": "network: S3",
    "export RAY_AUTH_MODE=token": "a cluster",
    "ray ": "a cluster",
    "dvc exp run -S engine.name=ray": "a cluster",
    "torchrun": "a cluster",
    "dvc exp run $(python -m experiments cav_mae)": "hours: CAV-MAE at its published size",
    "python -m app.mteb --tasks": "network: Hugging Face",
    "export EARSIGHT_MODEL=dist/bells": "for the command after it",
    "python -m xares.run": "network: Zenodo",
    "python -m app.convert": "published checkpoints, which are not here",
}
WAITS = {  # until the queue is done
    "dvc queue status": "for i in $(seq 200); do status=$(dvc queue status);"
    ' echo $status | grep -qE "Queued|Running" || break; sleep 2; done; echo "$status"'
}
PYTHON_NOT_RUN = {'load("user/bells")': "network: Hugging Face"}


@dataclass(frozen=True)
class Piece:
    """What a page asks its reader to run. kind: section (begins), command, python, file (text of `name`)."""

    kind: str
    text: str
    name: str = ""


def pieces(page: str) -> list[Piece]:
    """What a page holds, in its order."""
    found: list[Piece] = []
    lines = iter((ROOT / page).read_text(encoding="utf-8").splitlines())
    file = ""
    for line in lines:
        if line.startswith("#"):
            found.append(Piece("section", line.lstrip("# ")))
        elif named := re.fullmatch(r"\*\*`(\S+)`\*\*", line):
            file = named[1]
        elif line.startswith("```"):
            body = []
            while (inner := next(lines)) != "```":
                body.append(inner)
            if line == "```python":
                text = "\n".join(body) + "\n"
                found.append(Piece("file", text, file) if file else Piece("python", text))
            file = ""
        elif re.match(rf"    ({'|'.join(PROGRAMS)})( |$)", line):
            found.append(Piece("command", " ".join(shlex.split(line, comments=True, posix=False))))
    return found


def earlier(page: str) -> list[str]:
    """The pages whose commands are not run again on `page`."""
    if page in ("README.md", *WHOLE):
        return []
    group = next(group for group in GROUPS if page in group)
    return ["README.md", *group[: group.index(page)]]


def entry(command: str, table: dict[str, str]) -> str | None:
    """The key in `table` for a command: the longest that it begins with."""
    return max((k for k in table if command.startswith(k)), key=len, default=None)


class Clone:
    """A fresh clone with small parameters, and what the pages suppose to be there beside it."""

    def __init__(self, folder: Path) -> None:
        self.root = folder / "earsight"
        self.places = {name: str(folder / name.strip("/")) for name in ("/my/", "/data/", "/nfs/")}
        subprocess.run(["git", "clone", "--quiet", str(ROOT), str(self.root)], check=True)
        (self.root / ".venv").symlink_to(VENV)
        (self.root / ".git/info/exclude").write_text("/.venv\n")
        old = (VENV / "ready").stat().st_mtime - 1  # make: nothing to install
        os.utime(self.root / "requirements.txt", (old, old))
        self.env = os.environ | {
            "PATH": f"{VENV / 'bin'}{os.pathsep}{os.environ['PATH']}",
            "HOME": str(folder),
            "GIT_CONFIG_GLOBAL": str(folder / ".gitconfig"),
            "OMP_NUM_THREADS": "1",
            "PYTHONUNBUFFERED": "1",
            "COLUMNS": "200",
        }
        self.do("git config --global user.name a && git config --global user.email a@example.org")
        words = ("python", str(ROOT / ".ci/docs_data.py"), str(folder), str(self.root))
        self.do(shlex.join(words))
        flags = " ".join(shlex.quote(flag) for flag in SMALL)
        self.do(
            "python -c 'import sys; from dvc.utils.hydra import apply_overrides as a;"
            f' a("params.yaml", sys.argv[1:])\' {flags}'
        )
        self.do("git commit --quiet --all --message 'Small sizes'")

    def do(self, command: str) -> str:
        """Run a line of shell; what it prints. Raises RuntimeError where it fails."""
        for name, place in self.places.items():
            command = re.sub(rf"(?<![\w/]){re.escape(name)}", f"{place}/", command)
        with tempfile.TemporaryFile("w+") as output:  # a pipe would wait for what runs on in the background
            process = self._start(command, output)
            ending = "fine"
            try:
                if process.wait(LIMIT):
                    ending = f"exit status {process.returncode}"
            except subprocess.TimeoutExpired:
                os.killpg(process.pid, signal.SIGKILL)
                ending = f"not done after {LIMIT} s"
            output.seek(0)
            printed = output.read()
        if ending != "fine":
            raise RuntimeError(f"{ending}:\n{printed[-2000:]}")
        return printed

    def serve(self, command: str) -> str:
        """Run a server until it prints its address; then Ctrl-C ends it."""
        process = self._start(command, subprocess.PIPE)
        printed = ""
        stop = threading.Timer(LIMIT, os.killpg, (process.pid, signal.SIGKILL))
        stop.start()
        for line in process.stdout:
            printed += line
            if re.search(SERVED, line):
                os.killpg(process.pid, signal.SIGINT)
                break
        process.communicate()
        stop.cancel()
        return printed

    def _start(self, command: str, output) -> subprocess.Popen:
        return subprocess.Popen(
            ["bash", "-c", command],
            cwd=self.root,
            env=self.env,
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=subprocess.STDOUT,
            text=True,
            start_new_session=True,
        )


class Page:
    """Runs what a page holds. wrong: a line for everything that is not as it should be."""

    def __init__(self, name: str, clone: Clone) -> None:
        self.name, self.clone = name, clone
        self.wrong: list[str] = []
        self.commands = 0
        self.run_before = {p.text for page in earlier(name) for p in pieces(page) if p.kind == "command"}
        self.program: list[str] = []  # the Python of this page
        for piece in pieces(name):
            getattr(self, piece.kind)(piece)
        if self.program:
            file = self.clone.root / "tmp/program.py"
            file.parent.mkdir(exist_ok=True)
            file.write_text("\n".join(self.program), encoding="utf-8")
            self.attempt("Python", "", lambda: self.clone.do("PYTHONPATH=. python tmp/program.py"))

    def section(self, _: Piece) -> None:
        self.clone.do("git restore .")

    def python(self, piece: Piece) -> None:
        if not any(text in piece.text for text in PYTHON_NOT_RUN):
            self.program.append(piece.text)

    def file(self, piece: Piece) -> None:
        (self.clone.root / piece.name).write_text(piece.text, encoding="utf-8")

    def command(self, piece: Piece) -> None:
        prints, not_run = entry(piece.text, PRINTS), entry(piece.text, NOT_RUN)
        if len(not_run or "") > len(prints or "") or piece.text in self.run_before:
            return
        if prints is None:
            self.wrong.append(f"{self.name}: {piece.text}: say here what it prints, or why it is not run")
            return
        self.commands += 1
        line = WAITS.get(prints, f"{piece.text} {MORE.get(prints, '')}")
        do = self.clone.serve if prints == "make app" else self.clone.do
        self.attempt(piece.text, PRINTS[prints], lambda: do(line))

    def attempt(self, what: str, pattern: str, action: Callable[[], str]) -> None:
        began = time.monotonic()
        try:
            printed = action()
            found = re.search(pattern, printed)
            problem = "" if found else f"does not print {pattern!r}:\n{printed[-2000:]}"
        except RuntimeError as e:
            problem = str(e)
        seconds = time.monotonic() - began
        print(f"{self.name}: {seconds:5.1f} s  {'FAILED: ' if problem else ''}{what}", flush=True)
        if problem:
            self.wrong.append(f"{self.name}: {what}: {problem}")


def unused(pages: list[str]) -> list[str]:
    """A line for each entry of the tables that is for no command any more."""
    commands = [p.text for page in pages for p in pieces(page) if p.kind == "command"]
    used = {entry(c, table) for c in commands for table in (PRINTS, NOT_RUN)}
    return [f"{key}: no page has this command" for key in [*PRINTS, *NOT_RUN] if key not in used]


def main() -> None:
    asked = sys.argv[1:]
    groups = [[page for page in group if not asked or page in asked] for group in GROUPS]
    known = [page for group in GROUPS for page in group]
    wrong = [] if asked else unused(known)
    for path in [*ROOT.glob("*.md"), *ROOT.glob("docs/*.md"), *ROOT.glob("videos/*.md")]:
        page = path.relative_to(ROOT).as_posix()
        if page not in known and any(p.kind in ("command", "python") for p in pieces(page)):
            wrong.append(f"{page}: has commands: add it to GROUPS")
    folder = Path(tempfile.mkdtemp(prefix="earsight-docs-"))

    def run(number: int) -> list[Page]:
        if not groups[number]:
            return []
        (folder / str(number)).mkdir()
        clone = Clone(folder / str(number))
        if "README.md" not in groups[number]:
            clone.do("make repro")  # README begins with it, other pages suppose it
        return [Page(page, clone) for page in groups[number]]

    try:
        with ThreadPoolExecutor(len(groups)) as pool:
            pages = [page for several in pool.map(run, range(len(groups))) for page in several]
    finally:
        shutil.rmtree(folder, ignore_errors=True)
    if wrong := wrong + [line for page in pages for line in page.wrong]:
        sys.exit("\n\n".join(wrong))
    print(f"documentation: {sum(page.commands for page in pages)} commands ran as written")


if __name__ == "__main__":
    main()
