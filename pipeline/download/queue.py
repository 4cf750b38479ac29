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
TERMINAL_INTERVAL = 0.5  # s between updates of the progress line on a terminal
REPORT_INTERVAL = 15.0  # s between progress lines where standard error is no terminal
STOP_MARGIN = 30.0  # s beyond download.timeout after which a worker that does not answer is killed
MAX_TASKS = 100  # downloads after which a worker process is replaced by a new one


class Log:
    """The last status of each clip, and how often the user asked for another try, in a SQLite file.

    folder: of the file `log.sqlite`; both are created if they do not exist. database: the connection.
    """

    def __init__(self, folder: Path) -> None:
        folder.mkdir(parents=True, exist_ok=True)
        self.database = sqlite3.connect(folder / "log.sqlite", timeout=60)
        self.database.execute(
            "create table if not exists clips (clip_id text primary key, status text, detail text,"
            " tries integer not null default 0, asked integer not null default 0)"
        )

    def save_outcome(self, clip_id: str, outcome: Outcome, tries: int) -> None:
        """Store the status and the detail of a clip's outcome. tries: how many it took."""
        with self.database:
            self.database.execute(
                "insert into clips (clip_id, status, detail, tries) values (?, ?, ?, ?) on conflict (clip_id)"
                " do update set status = excluded.status, detail = excluded.detail, tries = excluded.tries",
                (clip_id, outcome.status, outcome.detail, tries),
            )

    def load_outcome(self, clip_id: str) -> Outcome | None:
        """Return the last outcome of a clip, without a value.

        Return None if the clip was not tried yet, or if the user has asked for another try since.
        """
        query = "select status, detail from clips where clip_id = ?"
        row = self.database.execute(query, (clip_id,)).fetchone()
        if row is None:
            return None
        status, detail = row
        return failed(status, detail) if status else None

    def count_retry_requests(self, clip_id: str) -> int:
        """Return how often the user asked for another try of a clip."""
        row = self.database.execute("select asked from clips where clip_id = ?", (clip_id,)).fetchone()
        return row[0] if row else 0

    def request_retry(self, clip_ids: list[str]) -> None:
        """Forget the status of these clips, so that the next run downloads them again."""
        with self.database:
            self.database.executemany(
                "insert into clips (clip_id, asked) values (?, 1) on conflict (clip_id)"
                " do update set status = null, asked = asked + 1",
                [(clip_id,) for clip_id in clip_ids],
            )


def open_log() -> Log:
    """Return the log of downloads. It is opened once in each process."""
    return _open_log(str(FOLDER.resolve()), os.getpid())


@cache
def _open_log(folder: str, process_id: int) -> Log:
    """Return the log in a folder, always the same one in a process.

    process_id is part of the cache's key, since a SQLite connection must not be used after a fork.
    """
    return Log(Path(folder))


def download_clips(clips: list[dict], settings: Any) -> None:
    """Download the clips that are not in `FOLDER` yet and have no final failure in the log.

    clips: rows of the clip table with `video_id`. settings: the section `download` of params.yaml.
    Raises UserError if a program or file that downloading needs is missing, and after
    `settings.give_up` transient failures in a row (no network, or the server refuses).
    """
    FOLDER.mkdir(parents=True, exist_ok=True)
    _delete_temporary_folders()  # those of a killed run
    log = open_log()
    missing_clips = []
    for clip in clips:
        previous = log.load_outcome(clip["clip_id"])
        has_final_failure = previous is not None and previous.status not in (*TRANSIENT, OK)
        if _file_path(clip["clip_id"]).exists() or has_final_failure:
            continue
        if clip["video"] is None:
            outcome = failed("refused", f"{clip['video_id']!r} is not a valid video id")
            log.save_outcome(clip["clip_id"], outcome, tries=0)
        else:
            missing_clips.append(clip)
    if missing_clips:
        ytdlp.check_requirements(settings)
        _Downloads(missing_clips, settings, log).run()


def _file_path(clip_id: str) -> Path:
    """Return the path of a clip's downloaded file."""
    return FOLDER / f"{clip_id}.mkv"


def _delete_temporary_folders() -> None:
    """Delete the folders of downloads that did not finish."""
    for folder in FOLDER.glob(".tmp-*"):
        shutil.rmtree(folder, ignore_errors=True)


def load_outcome(clip: dict) -> Outcome:
    """Return the outcome of a clip's download: the file as its value, or the failure in the log.

    clip: a row of the clip table.
    """
    path = _file_path(clip["clip_id"])
    try:
        return single_file_outcome(path.name, path.read_bytes())
    except FileNotFoundError:
        outcome = open_log().load_outcome(clip["clip_id"])
        if outcome is None or outcome.status == OK:  # downloaded, but the file was deleted since
            return failed("network", "the downloaded file is missing: run dvc repro")
        return outcome


def delete_stored_files(table: pa.Table) -> None:
    """Delete the downloaded files of the clips that media shards hold now.

    table: the index of the stage, with `clip_id` and `status`.
    """
    for clip_id, status in zip(table["clip_id"].to_pylist(), table["status"].to_pylist(), strict=True):
        if status == OK:
            _file_path(clip_id).unlink(missing_ok=True)


def check_missing(table: pa.Table, settings: Any) -> None:
    """Raise UserError if too many clips are missing for a reason that may pass, such as the network.

    table: the index of the stage, with `status`. settings: the section `download` of params.yaml; its
    `max_missing` is the largest fraction of clips that may be missing.
    """
    counts = Counter(table["status"].to_pylist())
    transient_counts = {status: counts[status] for status in TRANSIENT if counts[status]}
    n_missing = sum(transient_counts.values())
    if n_missing > settings.max_missing * len(table):
        reasons = ", ".join(f"{n} {status}" for status, n in transient_counts.items())
        raise UserError(
            f"download: {n_missing} of {len(table)} clips are missing for temporary reasons ({reasons}):"
            " run dvc repro to fetch only these, or raise download.max_missing"
        )


# --- the run --------------------------------------------------------------------------------------------


@dataclass(order=True)
class _Attempt:
    """One try at one clip. The queue, a heap, orders attempts by start time, then by `order`."""

    start_time: float  # of time.monotonic(), s: the attempt starts at this time or later
    order: int  # of creation: no two attempts have the same
    clip: dict = field(compare=False)  # a row of the clip table
    number: int = field(compare=False)  # 1: the first try


class _Downloads:
    """Downloads clips in worker processes, with retries, a rate limit and a limit of failures in a row.

    clips: rows of the clip table. settings: the section `download` of params.yaml. log: for the outcomes.
    """

    def __init__(self, clips: list[dict], settings: Any, log: Log) -> None:
        self.settings = settings
        self.log = log
        self.order = itertools.count()  # numbers for the attempts
        self.queue = [_Attempt(0.0, next(self.order), clip, 1) for clip in clips]  # a heap
        self.running: dict[Future, _Attempt] = {}
        self.next_start = 0.0  # of time.monotonic(), s: no attempt starts earlier (download.per_minute)
        self.failures_in_a_row = 0  # transient ones
        self.counts: Counter = Counter()  # status -> number of finished clips
        self.progress = ProgressLine(len(clips))

    def run(self) -> None:
        """Download all clips. Raises UserError after too many failures in a row."""
        pool = Workers(
            max_workers=min(self.settings.concurrent, len(self.queue)),
            max_tasks=MAX_TASKS,
            context=worker_context([ytdlp.__name__, "yt_dlp"]),  # imported once: it takes a second
            initializer=ytdlp.start_worker,
        )
        try:
            with pool:
                while self.queue or self.running:
                    now = time.monotonic()
                    self._start_attempts(pool, now)
                    for future in pool.wait_any(self.running, self._seconds_to_wait(now)):
                        self._finish_attempt(self.running.pop(future), _future_outcome(future))
                    self.progress.update(self.counts, len(self.running))
        finally:
            _delete_temporary_folders()
            self.progress.finish(self.counts)

    def _can_start(self) -> bool:
        """Return whether an attempt is in the queue and a worker is free for it."""
        return bool(self.queue) and len(self.running) < self.settings.concurrent

    def _next_start_time(self) -> float:
        """Return when the first attempt of the queue may start, s of time.monotonic()."""
        return max(self.queue[0].start_time, self.next_start)

    def _start_attempts(self, pool: Workers, now: float) -> None:
        """Start the attempts whose time has come, while there are free workers. now: time.monotonic()."""
        while self._can_start() and self._next_start_time() <= now:
            attempt = heapq.heappop(self.queue)
            path = _file_path(attempt.clip["clip_id"]).resolve()
            limit = self.settings.timeout + STOP_MARGIN
            future = pool.schedule(
                ytdlp.download_clip, args=[attempt.clip, self.settings, str(path)], timeout=limit
            )
            self.running[future] = attempt
            self.next_start = now + 60 / self.settings.per_minute

    def _seconds_to_wait(self, now: float) -> float:
        """Return how long to wait for a running attempt before the next one may start: at most 1 s."""
        if not self._can_start():
            return 1.0
        return min(max(self._next_start_time() - now, 0.01), 1.0)

    def _finish_attempt(self, attempt: _Attempt, outcome: Outcome) -> None:
        """Put another try into the queue, or write the outcome of the last one into the log.

        Raises UserError after too many failures in a row.
        """
        clip_id = attempt.clip["clip_id"]
        is_transient = outcome.status in TRANSIENT
        self.failures_in_a_row = self.failures_in_a_row + 1 if is_transient else 0
        if is_transient and attempt.number <= self.settings.retries:
            # Exponential backoff, with jitter: clips that failed together are not tried again together.
            delay = self.settings.wait * 2 ** (attempt.number - 1) * random.uniform(1.0, 1.5)
            retry = _Attempt(time.monotonic() + delay, next(self.order), attempt.clip, attempt.number + 1)
            heapq.heappush(self.queue, retry)
        else:
            self.log.save_outcome(clip_id, outcome, attempt.number)
            self.counts[outcome.status] += 1
        if self.failures_in_a_row >= self.settings.give_up:
            self.log.save_outcome(clip_id, outcome, attempt.number)
            raise UserError(
                f"download: {self.failures_in_a_row} tries in a row failed ({outcome.status}:"
                f" {outcome.detail}): there is no network, or the server refuses requests; wait, then run"
                " dvc repro, which fetches the rest"
            )


def _future_outcome(future: Future) -> Outcome:
    """Return the outcome of a finished attempt, or a failure if its process was killed or crashed."""
    try:
        return future.result()
    except FutureTimeout:
        return failed("timeout", "no answer from the download")
    except ProcessExpired as e:
        return failed("crashed", f"the download crashed (exit status {e.exitcode})")


class ProgressLine:
    """Prints how many clips have been downloaded, and how many of them have each status.

    On a terminal, one line of standard error is overwritten. Otherwise, a new line is printed to standard
    output every `REPORT_INTERVAL` s.

    total: number of clips. start_time: when the download began. last_time: of the last line, or
    start_time before there is one. Both in s of time.monotonic().
    """

    def __init__(self, total: int) -> None:
        self.total = total
        self.start_time = self.last_time = time.monotonic()
        self.is_terminal = sys.stderr.isatty()

    def update(self, counts: Counter, running: int) -> None:
        """Print the state of the run, unless this was done a short time ago.

        counts: status -> number of finished clips. running: number of clips in progress.
        """
        now = time.monotonic()
        if now - self.last_time < (TERMINAL_INTERVAL if self.is_terminal else REPORT_INTERVAL):
            return
        self.last_time = now
        finished = sum(counts.values())
        remaining = ""
        if finished:
            seconds = (self.total - finished) / self._clips_per_second(finished)
            remaining = f", {seconds:.0f} s left"
        self._print(f"{self._counts_text(counts)}; {running} in progress{remaining}")

    def finish(self, counts: Counter) -> None:
        """Print the last line. counts: status -> number of finished clips."""
        clips_per_minute = 60 * self._clips_per_second(sum(counts.values()))
        self._print(f"{self._counts_text(counts)}, {clips_per_minute:.0f} a minute", end="\n")

    def _clips_per_second(self, finished: int) -> float:
        """Return the mean speed since the start. finished: number of clips."""
        return finished / max(time.monotonic() - self.start_time, 1e-9)

    def _counts_text(self, counts: Counter) -> str:
        """Return a text such as `download: 12 of 40 clips: 10 ok, 2 private`."""
        statuses = ", ".join(f"{n} {status}" for status, n in counts.most_common())
        separator = ": " if statuses else ""
        return f"download: {sum(counts.values())} of {self.total} clips{separator}{statuses}"

    def _print(self, text: str, end: str = "") -> None:
        """Print a line. end: what follows it on a terminal, where "" lets the next line overwrite it."""
        if self.is_terminal:
            # \r goes to the beginning of the line, \x1b[2K deletes its old text.
            print(f"\r\x1b[2K{text}", end=end, file=sys.stderr, flush=True)
        else:
            print(text, flush=True)
