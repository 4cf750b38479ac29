"""Download clips in parallel, within the rate limits of the settings, and keep every finished download.

A clip's file stays in `data/downloads` until a media shard holds it; `log.sqlite` beside it holds the last
status of each clip. A killed run loses only the downloads in progress; the next run fetches the rest.
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
from concurrent.futures import TimeoutError as FutureTimeout
from dataclasses import dataclass, field
from functools import cache
from pathlib import Path
from typing import Any

import pyarrow as pa
from pebble import ProcessExpired

from pipeline.download import ytdlp
from pipeline.download.step import single_file_outcome
from pipeline.engine.workers import Workers, worker_context
from pipeline.errors import UserError
from pipeline.store.status import OK, Outcome, failed

FOLDER = Path("data/downloads")
TRANSIENT = ("network", "cut_short", "timeout", "crashed")  # statuses after which another try may succeed
REPORT_INTERVAL = 15.0  # s between progress lines where standard error is no terminal
STOP_MARGIN = 30.0  # s beyond download.timeout after which a worker that does not answer is killed


class Log:
    """The last status of each clip, and how often the user asked for another try, in a SQLite file."""

    def __init__(self, folder: Path) -> None:
        folder.mkdir(parents=True, exist_ok=True)
        self.database = sqlite3.connect(folder / "log.sqlite", timeout=60)
        self.database.execute(
            "create table if not exists clips (clip_id text primary key, status text, detail text,"
            " tries integer not null default 0, asked integer not null default 0)"
        )

    def put(self, clip_id: str, outcome: Outcome, tries: int) -> None:
        """Store the outcome of a clip after this number of tries."""
        with self.database:
            self.database.execute(
                "insert into clips (clip_id, status, detail, tries) values (?, ?, ?, ?) on conflict (clip_id)"
                " do update set status = excluded.status, detail = excluded.detail, tries = excluded.tries",
                (clip_id, outcome.status, outcome.detail, tries),
            )

    def get(self, clip_id: str) -> Outcome | None:
        """Return the stored outcome, without a value; None if there is none or another try was requested."""
        query = "select status, detail from clips where clip_id = ?"
        row = self.database.execute(query, (clip_id,)).fetchone()
        return failed(*row) if row and row[0] else None

    def retry_requests(self, clip_id: str) -> int:
        """Return how often `request_retry` was called for the clip."""
        row = self.database.execute("select asked from clips where clip_id = ?", (clip_id,)).fetchone()
        return row[0] if row else 0

    def request_retry(self, clip_ids: list[str]) -> None:
        """Have the next run fetch these clips again, whatever their status is."""
        with self.database:
            self.database.executemany(
                "insert into clips (clip_id, asked) values (?, 1) on conflict (clip_id)"
                " do update set status = null, asked = asked + 1",
                [(clip_id,) for clip_id in clip_ids],
            )


def open_log(folder: Path = FOLDER) -> Log:
    """Return the log of a folder. It is opened once in each process."""
    return _open_log(str(folder.resolve()), os.getpid())


@cache
def _open_log(folder: str, process_id: int) -> Log:
    # process_id is part of the cache key: a SQLite connection must not be used after a fork.
    return Log(Path(folder))


def collect(clips: list[dict], settings: Any) -> None:
    """Download the clips that are not in `FOLDER` yet and have no final failure in the log.

    clips: rows of the clip table with `video_id`. settings: the section `download` of params.yaml.
    Raises UserError if a program or file that downloading needs is missing, and after
    `settings.give_up` transient failures in a row (no network, or the server refuses).
    """
    FOLDER.mkdir(parents=True, exist_ok=True)
    _delete_temporary_folders()  # those of a killed run
    log = open_log()
    missing = []
    for clip in clips:
        previous = log.get(clip["clip_id"])
        if _file(clip).exists() or previous and previous.status not in (*TRANSIENT, OK):
            continue
        if clip["video"] is None:
            log.put(clip["clip_id"], failed("refused", f"{clip['video_id']!r} is not a valid video id"), 0)
        else:
            missing.append(clip)
    if missing:
        ytdlp.check_requirements(settings)
        _Downloads(missing, settings, log).run()


def _file(clip: dict) -> Path:
    return FOLDER / f"{clip['clip_id']}.mkv"


def _delete_temporary_folders() -> None:
    for folder in FOLDER.glob(".tmp-*"):
        shutil.rmtree(folder, ignore_errors=True)


def load_outcome(clip: dict) -> Outcome:
    """Return the downloaded file of a clip, or its failure from the log."""
    try:
        return single_file_outcome(f"{clip['clip_id']}.mkv", _file(clip).read_bytes())
    except FileNotFoundError:
        outcome = open_log().get(clip["clip_id"])
        if outcome is None or outcome.status == OK:  # downloaded, but the file was deleted since
            return failed("network", "the downloaded file is missing: run dvc repro")
        return outcome


def delete_stored(table: pa.Table) -> None:
    """Delete the downloaded files that media shards hold. table: the index of the stage."""
    for clip_id, status in zip(table["clip_id"].to_pylist(), table["status"].to_pylist(), strict=True):
        if status == OK:
            (FOLDER / f"{clip_id}.mkv").unlink(missing_ok=True)


def check_missing(table: pa.Table, settings: Any) -> None:
    """Raise UserError if the share of clips with a transient failure exceeds `settings.max_missing`.

    table: the index of the stage. settings: the section `download` of params.yaml.
    """
    counts = Counter(table["status"].to_pylist())
    transient = {status: counts[status] for status in TRANSIENT if counts[status]}
    missing = sum(transient.values())
    if missing > settings.max_missing * len(table):
        reasons = ", ".join(f"{n} {status}" for status, n in transient.items())
        raise UserError(
            f"download: {missing} of {len(table)} clips are missing for temporary reasons ({reasons}):"
            " run dvc repro to fetch only these, or raise download.max_missing"
        )


# --- the run --------------------------------------------------------------------------------------------


@dataclass(order=True)
class _Attempt:
    """One try at one clip. The heap orders attempts by start time, then by `order`."""

    start_time: float  # of time.monotonic(), s: the attempt starts at this time or later
    order: int
    clip: dict = field(compare=False)
    number: int = field(compare=False)  # 1: the first try


class _Downloads:
    """Download clips in worker processes, with retries, a rate limit and a limit of failures in a row."""

    def __init__(self, clips: list[dict], settings: Any, log: Log) -> None:
        self.settings, self.log = settings, log
        self.order = itertools.count()
        self.queue = [_Attempt(0.0, next(self.order), clip, 1) for clip in clips]  # a heap
        self.running: dict[Future, _Attempt] = {}
        self.next_start = 0.0  # of time.monotonic(), s: no attempt starts earlier (download.per_minute)
        self.failures_in_a_row = 0  # transient ones
        self.counts: Counter = Counter()  # status -> clips
        self.progress = ProgressLine(len(clips))

    def run(self) -> None:
        pool = Workers(
            max_workers=min(self.settings.concurrent, len(self.queue)),
            max_tasks=100,
            context=worker_context([ytdlp.__name__, "yt_dlp"]),  # imported once: it takes a second
            initializer=ytdlp.start_worker,
        )
        try:
            with pool:
                while self.queue or self.running:
                    now = time.monotonic()
                    self._start_due(pool, now)
                    for future in pool.wait_any(self.running, self._seconds_to_wait(now)):
                        self._finish(self.running.pop(future), _result(future))
                    self.progress.update(self.counts, len(self.running))
        finally:
            _delete_temporary_folders()
            self.progress.finish(self.counts)

    def _has_free_worker(self) -> bool:
        return len(self.running) < self.settings.concurrent

    def _start_due(self, pool: Workers, now: float) -> None:
        while (
            self.queue and self._has_free_worker() and max(self.queue[0].start_time, self.next_start) <= now
        ):
            attempt = heapq.heappop(self.queue)
            arguments = [attempt.clip, self.settings, str(_file(attempt.clip).resolve())]
            limit = self.settings.timeout + STOP_MARGIN
            self.running[pool.schedule(ytdlp.fetch, args=arguments, timeout=limit)] = attempt
            self.next_start = now + 60 / self.settings.per_minute

    def _seconds_to_wait(self, now: float) -> float:
        if not (self.queue and self._has_free_worker()):
            return 1.0
        return min(max(max(self.queue[0].start_time, self.next_start) - now, 0.01), 1.0)

    def _finish(self, attempt: _Attempt, outcome: Outcome) -> None:
        """Queue another try or log the outcome. Raises UserError after too many failures in a row."""
        clip_id = attempt.clip["clip_id"]
        is_transient = outcome.status in TRANSIENT
        self.failures_in_a_row = self.failures_in_a_row + 1 if is_transient else 0
        if is_transient and attempt.number <= self.settings.retries:
            # Exponential backoff, with jitter: clips that failed together are not tried again together.
            delay = self.settings.wait * 2 ** (attempt.number - 1) * random.uniform(1.0, 1.5)
            retry = _Attempt(time.monotonic() + delay, next(self.order), attempt.clip, attempt.number + 1)
            heapq.heappush(self.queue, retry)
        else:
            self.log.put(clip_id, outcome, attempt.number)
            self.counts[outcome.status] += 1
        if self.failures_in_a_row >= self.settings.give_up:
            self.log.put(clip_id, outcome, attempt.number)
            raise UserError(
                f"download: {self.failures_in_a_row} tries in a row failed ({outcome.status}:"
                f" {outcome.detail}): there is no network, or the server refuses requests; wait, then run"
                " dvc repro, which fetches the rest"
            )


def _result(future: Future) -> Outcome:
    try:
        return future.result()
    except FutureTimeout:
        return failed("timeout", "no answer from the download")
    except ProcessExpired as e:
        return failed("crashed", f"the download crashed (exit status {e.exitcode})")


class ProgressLine:
    """Print the number of clips and the count of each status.

    A terminal gets one line that is overwritten; any other output a new line every `REPORT_INTERVAL` s.
    """

    def __init__(self, total: int) -> None:
        self.total = total
        self.start_time = self.last_time = time.monotonic()
        self.is_terminal = sys.stderr.isatty()

    def update(self, counts: Counter, running: int) -> None:
        """Print the state of the run, unless the last line is recent. counts: status -> finished clips."""
        now = time.monotonic()
        if now - self.last_time < (0.5 if self.is_terminal else REPORT_INTERVAL):
            return
        self.last_time = now
        finished = sum(counts.values())
        remaining = f", {(self.total - finished) / self._rate(finished):.0f} s left" if finished else ""
        self._print(f"{self._counts_text(counts)}; {running} in progress{remaining}")

    def finish(self, counts: Counter) -> None:
        """Print the last line."""
        rate = 60 * self._rate(sum(counts.values()))
        self._print(f"{self._counts_text(counts)}, {rate:.0f} a minute", end="\n")

    def _rate(self, finished: int) -> float:
        """Return the finished clips per second."""
        return finished / max(time.monotonic() - self.start_time, 1e-9)

    def _counts_text(self, counts: Counter) -> str:
        statuses = ", ".join(f"{n} {status}" for status, n in counts.most_common())
        separator = ": " if statuses else ""
        return f"download: {sum(counts.values())} of {self.total} clips{separator}{statuses}"

    def _print(self, text: str, end: str = "") -> None:
        if self.is_terminal:
            print(f"\r\x1b[2K{text}", end=end, file=sys.stderr, flush=True)
        else:
            print(text, flush=True)
