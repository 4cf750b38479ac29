"""How soon the page is there, and how soon it answers: `python -m benchmarks.app [--clips N]`.

The model in checkpoints/ (after `dvc repro`), N clips (100,000) whose embeddings are drawn around centres,
asked over HTTP as a browser asks: a sound of 5 s goes up, the answer comes back. By one person, then by eight
at once.
"""

import argparse
import contextlib
import http.client
import json
import os
import re
import signal
import statistics
import subprocess
import sys
import tempfile
import threading
import time
import uuid
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from benchmarks import result_files
from benchmarks.search import make_clustered_vectors
from models import checkpoint
from models.inference import vector_index
from models.inference.index import indexed_modalities
from pipeline.config import ROOT
from pipeline.media.wav import write_wav
from testing.commands import measure_seconds

SECONDS, RATE = 5.0, 16000
ASKED, PEOPLE, EACH = 20, 8, 5  # questions of one person; people at once, and questions of each


def library(folder: Path, count: int) -> None:
    """A project of `count` clips in `folder`, which have the pictures and the sounds of this project's."""
    (folder / "checkpoints").symlink_to(ROOT / "checkpoints")
    model = checkpoint.load(ROOT / "checkpoints")
    dim = np.load(ROOT / f"data/embeddings/{indexed_modalities(model)[0]}.npy", mmap_mode="r").shape[1]
    vectors = make_clustered_vectors(count, 0, dim)[0]
    ids = pa.array([f"clip-{i:07d}" for i in range(count)])
    clips = pq.read_table(ROOT / "data/embeddings/clips.parquet")
    (folder / "data/embeddings").mkdir(parents=True)
    (folder / "data/index").mkdir()
    pq.write_table(_repeat_rows(clips, ids), folder / "data/embeddings/clips.parquet")
    for side in indexed_modalities(model):
        np.save(folder / f"data/embeddings/{side}.npy", vectors)
        vector_index.save(
            vector_index.build(vectors, vector_index.resolve_kind("auto", count)),
            folder / f"data/index/{side}.faiss",
        )
    for stage in ("wav", "frames"):
        (folder / "data" / stage).mkdir()
        for path in (ROOT / "data" / stage).iterdir():
            if path.name != "index.parquet":
                (folder / "data" / stage / path.name).symlink_to(path)
        index = pq.read_table(ROOT / "data" / stage / "index.parquet")
        index = index.filter(pc.equal(index["status"], "ok"))
        pq.write_table(_repeat_rows(index, ids), folder / "data" / stage / "index.parquet")


def _repeat_rows(table: pa.Table, ids: pa.Array) -> pa.Table:
    """As many rows as there are `ids`, which become their clip_id."""
    rows = table.take(np.arange(len(ids)) % len(table))
    return rows.set_column(rows.schema.get_field_index("clip_id"), "clip_id", ids)


def sound(seed: int) -> bytes:
    rng = np.random.default_rng(seed)
    wave = np.sin(2 * np.pi * (200 + 50 * seed) / RATE * np.arange(round(SECONDS * RATE)))
    return write_wav((8000 * wave + 200 * rng.normal(size=len(wave))).astype(np.int16), RATE)


@contextlib.contextmanager
def serve_app(folder: Path) -> Iterator[tuple[int, float]]:
    """Run the app on `folder`; yield its port and the seconds until its page loads."""
    output_file = folder / "said"
    command = [sys.executable, "-m", "app", "--port", "0", "--project", str(folder)]
    start = time.perf_counter()
    with open(output_file, "w") as output:
        process = subprocess.Popen(command, cwd=ROOT, stdout=output, stderr=subprocess.STDOUT)
    try:
        while not (match := re.search(r"http://127\.0\.0\.1:(\d+)", output_file.read_text())):
            if process.poll() is not None:
                raise RuntimeError(output_file.read_text())
            time.sleep(0.02)
        PageClient(int(match[1])).get("/")
        yield int(match[1]), time.perf_counter() - start
    finally:
        process.send_signal(signal.SIGINT)
        process.wait(30)


class PageClient:
    """Send the requests that the page's own script sends."""

    def __init__(self, port: int) -> None:
        self.port = port
        config = json.loads(self.get("/config"))
        [place] = [c["id"] for c in config["components"] if c["props"].get("elem_id") == "search-sound"]
        self.number = next(d["id"] for d in config["dependencies"] if [place, "change"] in d["targets"])

    def get(self, path: str) -> bytes:
        with contextlib.closing(
            http.client.HTTPConnection("127.0.0.1", self.port, timeout=120)
        ) as connection:
            connection.request("GET", path)
            return self._read(connection)

    def post(self, path: str, body: bytes, kind: str) -> Any:
        with contextlib.closing(
            http.client.HTTPConnection("127.0.0.1", self.port, timeout=120)
        ) as connection:
            connection.request("POST", path, body, {"Content-Type": kind})
            return json.loads(self._read(connection))

    @staticmethod
    def _read(connection: http.client.HTTPConnection) -> bytes:
        answer = connection.getresponse()
        content = answer.read()
        if answer.status != 200:
            raise RuntimeError(f"{answer.status}: {content[:500]!r}")
        return content

    def search(self, wav: bytes) -> str:
        """Search with a sound; return the HTML of the nearest clips."""
        boundary = uuid.uuid4().hex
        head = f'--{boundary}\r\nContent-Disposition: form-data; name="files"; filename="sound.wav"\r\n\r\n'
        body = head.encode() + wav + f"\r\n--{boundary}--\r\n".encode()
        [path] = self.post("/gradio_api/upload", body, f"multipart/form-data; boundary={boundary}")
        session = uuid.uuid4().hex
        file_data = {"path": path, "meta": {"_type": "gradio.FileData"}}
        request = {
            "fn_index": self.number,
            "data": ["this project", file_data, "both", 10],
            "session_hash": session,
        }
        self.post("/gradio_api/queue/join", json.dumps(request).encode(), "application/json")
        events = self.get(f"/gradio_api/queue/data?session_hash={session}").decode()
        for line in events.splitlines():
            event = json.loads(line.removeprefix("data: ") or "{}")
            if event.get("msg") == "process_completed":
                html = event["output"]["data"][0]
                html = html["value"] if isinstance(html, dict) else html
                if not event["success"] or "nearest to this sound" not in html:
                    raise RuntimeError(html)
                return html
        raise RuntimeError(events)


def summary(seconds: list[float]) -> dict[str, float]:
    return {"median_s": round(statistics.median(seconds), 3), "longest_s": round(max(seconds), 3)}


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.app", description=__doc__)
    parser.add_argument("--clips", type=int, default=100_000)
    count = parser.parse_args().clips
    with tempfile.TemporaryDirectory(prefix="earsight-app-benchmark-") as name:
        folder = Path(name)
        library(folder, count)
        with serve_app(folder):
            pass  # the first start reads everything from the disk
        began = time.perf_counter()
        with serve_app(folder) as (port, there):
            person = PageClient(port)
            person.search(sound(0))
            ready = time.perf_counter() - began
            alone = [measure_seconds(lambda i=i: person.search(sound(i))) for i in range(ASKED)]
            rows = re.findall(r"clips/this%20project/(\d+)", person.search(sound(1)))
            picture = [
                measure_seconds(lambda r=r: person.get(f"/clips/this%20project/{r}.jpg")) for r in set(rows)
            ]
            together: list[float] = []

            def come(number: int) -> None:
                other = PageClient(port)
                together.extend(
                    measure_seconds(lambda i=i: other.search(sound(number + i))) for i in range(EACH)
                )

            threads = [threading.Thread(target=come, args=[i]) for i in range(PEOPLE)]
            all_of_them = measure_seconds(
                lambda: [t.start() for t in threads] and [t.join() for t in threads]
            )
    if len(together) != PEOPLE * EACH:
        raise RuntimeError(f"{len(together)} of {PEOPLE * EACH} questions were answered")
    result = {
        "clips": count,
        "cores": len(os.sched_getaffinity(0)),
        "sound_s": SECONDS,
        "page_there_s": round(there, 2),
        "first_answer_s": round(ready, 2),
        "one_person": summary(alone) | {"questions": ASKED},
        "a_picture": summary(picture),
        "at_once": summary(together)
        | {"people": PEOPLE, "questions": len(together), "a_second": round(len(together) / all_of_them, 1)},
    }
    result_files.save("app", result)
    for key, value in result.items():
        print(f"{key}: {value}")


if __name__ == "__main__":
    main()
