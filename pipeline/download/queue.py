"""Clips that come over the network: several at a time, politely, and none that came is lost.

A clip's file lies in `data/downloads` until a media shard holds it; what became of each is in a table beside
it, `log.sqlite`. A killed run loses the clips that were on their way, and the next one fetches the rest.
"""

import heapq
import itertools
import os
import random
import shutil
import sqlite3
import sys
import time
from collections import Counter
from concurrent.futures import Future
from concurrent.futures import TimeoutError as OutOfTime
from functools import cache
from pathlib import Path
from typing import Any

import pyarrow as pa
from pebble import ProcessExpired

from pipeline.download import ytdlp
from pipeline.download.step import fetched
from pipeline.engine.workers import Workers, worker_context
from pipeline.errors import UserError
from pipeline.store.status import OK, Outcome, failed

FOLDER = Path("data/downloads")
PASSING = ("network", "cut_short", "timeout", "crashed")  # faults that another try may find gone
EVERY = 15.0  # s between lines that say how far it is
SLACK = 30.0  # s beyond download.timeout after which a worker that does not answer is stopped


class Log:
    """What became of each clip: the last status, and how often it was asked for again."""

    def __init__(self, folder: Path) -> None:
        folder.mkdir(parents=True, exist_ok=True)
        self.base = sqlite3.connect(folder / "log.sqlite", timeout=60)
        self.base.execute(
            "create table if not exists clips (clip_id text primary key, status text, detail text,"
            " tries integer not null default 0, asked integer not null default 0)"
        )

    @staticmethod
    def of(folder: Path = FOLDER) -> "Log":
        """The log of a folder, opened once in each process."""
        return _log(str(folder.resolve()), os.getpid())

    def put(self, clip_id: str, outcome: Outcome, tries: int) -> None:
        with self.base:
            self.base.execute(
                "insert into clips (clip_id, status, detail, tries) values (?, ?, ?, ?) on conflict (clip_id)"
                " do update set status = excluded.status, detail = excluded.detail, tries = excluded.tries",
                (clip_id, outcome.status, outcome.detail, tries),
            )

    def get(self, clip_id: str) -> Outcome | None:
        row = self.base.execute("select status, detail from clips where clip_id = ?", (clip_id,)).fetchone()
        return failed(*row) if row and row[0] else None

    def asked(self, clip_id: str) -> int:
        row = self.base.execute("select asked from clips where clip_id = ?", (clip_id,)).fetchone()
        return row[0] if row else 0

    def again(self, clip_ids: list[str]) -> None:
        """These are to be fetched again, whatever became of them."""
        with self.base:
            self.base.executemany(
                "insert into clips (clip_id, asked) values (?, 1) on conflict (clip_id)"
                " do update set status = null, asked = asked + 1",
                [(clip_id,) for clip_id in clip_ids],
            )


@cache
def _log(folder: str, _: int) -> Log:
    return Log(Path(folder))


def collect(clips: list[dict], settings: Any) -> None:
    """Fetch those of `clips` that are not here yet and have not failed for good.

    clips: rows of the clip table with `video_id`. settings: the section `download` of params.yaml.
    Raises UserError where something that it takes to fetch them is missing, and where so many in a row fail
    for passing reasons that the network is gone or the server has had enough.
    """
    FOLDER.mkdir(parents=True, exist_ok=True)
    for left in FOLDER.glob(".tmp-*"):  # of a run that was killed
        shutil.rmtree(left, ignore_errors=True)
    log = Log.of()
    todo = []
    for clip in clips:
        before = log.get(clip["clip_id"])
        if _file(clip).exists() or before and before.status not in (*PASSING, OK):
            continue
        if clip["video"] is None:
            log.put(clip["clip_id"], failed("refused", f"{clip['video_id']!r} is no id of a video"), 0)
        else:
            todo.append(clip)
    if todo:
        ytdlp.ready(settings)
        _run(todo, settings, log)


def _file(clip: dict) -> Path:
    return FOLDER / f"{clip['clip_id']}.mkv"


def taken(clip: dict) -> Outcome:
    """What `collect` brought of a clip, or why it did not."""
    try:
        return fetched(f"{clip['clip_id']}.mkv", _file(clip).read_bytes())
    except FileNotFoundError:
        known = Log.of().get(clip["clip_id"])
        if known is None or known.status == OK:  # it came, and somebody took it away
            return failed("network", "not there: run dvc repro")
        return known


def settle(table: pa.Table, settings: Any) -> None:
    """Delete the files that shards now hold. Raises UserError where too many clips are missing.

    table: the accounts of the stage.
    """
    counts: Counter = Counter()
    for clip_id, status in zip(table["clip_id"].to_pylist(), table["status"].to_pylist(), strict=True):
        counts[status] += 1
        if status == OK:
            (FOLDER / f"{clip_id}.mkv").unlink(missing_ok=True)
    passing = {status: counts[status] for status in PASSING if counts[status]}
    if sum(passing.values()) > settings.max_missing * len(table):
        told = ", ".join(f"{n} {status}" for status, n in passing.items())
        raise UserError(
            f"download: {sum(passing.values())} of {len(table)} clips are missing for reasons that may pass"
            f" ({told}): dvc repro fetches them, and nothing else; or allow more with download.max_missing"
        )


# --- the run --------------------------------------------------------------------------------------------


def _run(todo: list[dict], settings: Any, log: Log) -> None:
    order = itertools.count()
    # (when it may begin, as they come, clip, tries so far)
    queue: list[tuple[float, int, dict, int]] = [(0.0, next(order), clip, 0) for clip in todo]
    heapq.heapify(queue)
    counts: Counter = Counter()
    told = Line(len(todo))
    row = 0  # tries that failed one after the other, for passing reasons
    begin = 0.0  # when the next may begin
    pool = Workers(
        max_workers=min(settings.concurrent, len(todo)),
        max_tasks=100,
        context=worker_context([ytdlp.__name__, "yt_dlp"]),  # which takes a second to import
        initializer=ytdlp.start_worker,
    )
    waiting: dict[Future, tuple[dict, int]] = {}
    try:
        with pool:
            while queue or waiting:
                now = time.monotonic()
                while queue and len(waiting) < settings.concurrent and max(queue[0][0], begin) <= now:
                    _, _, clip, tries = heapq.heappop(queue)
                    arguments = [clip, settings, str(_file(clip).resolve())]
                    limit = settings.timeout + SLACK
                    waiting[pool.schedule(ytdlp.fetch, args=arguments, timeout=limit)] = clip, tries + 1
                    begin = now + 60 / settings.per_minute
                soon = max(queue[0][0], begin) - now if queue and len(waiting) < settings.concurrent else 1.0
                for future in pool.wait_any(waiting, min(max(soon, 0.01), 1.0)):
                    clip, tries = waiting.pop(future)
                    outcome = _result(future)
                    passing = outcome.status in PASSING
                    row = row + 1 if passing else 0
                    if passing and tries <= settings.retries:
                        # Half as long again by chance: those that failed together do not come together.
                        later = settings.wait * 2 ** (tries - 1) * random.uniform(1.0, 1.5)
                        heapq.heappush(queue, (time.monotonic() + later, next(order), clip, tries))
                    else:
                        log.put(clip["clip_id"], outcome, tries)
                        counts[outcome.status] += 1
                    if row >= settings.give_up:
                        log.put(clip["clip_id"], outcome, tries)
                        raise UserError(
                            f"download: {row} tries in a row failed ({outcome.status}: {outcome.detail}): the"
                            " network is gone, or the server has had enough; dvc repro goes on from here"
                        )
                told.say(counts, len(waiting))
    finally:
        for left in FOLDER.glob(".tmp-*"):
            shutil.rmtree(left, ignore_errors=True)
        told.say(counts, 0, last=True)


def _result(future: Future) -> Outcome:
    try:
        return future.result()
    except OutOfTime:
        return failed("timeout", "no answer from the download")
    except ProcessExpired as e:
        return failed("crashed", f"the download crashed (exit status {e.exitcode})")


class Line:
    """How far it is, with a count of each outcome: one line that is written over on a terminal, else a new
    one from time to time."""

    def __init__(self, total: int) -> None:
        self.total, self.began, self.last = total, time.monotonic(), time.monotonic()
        self.terminal = sys.stderr.isatty()

    def say(self, counts: Counter, running: int, last: bool = False) -> None:
        now = time.monotonic()
        if not last and now - self.last < (0.5 if self.terminal else EVERY):
            return
        self.last = now
        done = sum(counts.values())
        rate = done / max(now - self.began, 1e-9)
        left = f", {(self.total - done) / rate:.0f} s left" if done and not last else ""
        told = ", ".join(f"{n} {status}" for status, n in counts.most_common())
        text = f"download: {done} of {self.total} clips{': ' + told if told else ''}"
        text += f", {60 * rate:.0f} a minute" if last else f"; {running} on their way{left}"
        if self.terminal:
            print(f"\r\x1b[2K{text}", end="\n" if last else "", file=sys.stderr, flush=True)
        else:
            print(text, flush=True)
