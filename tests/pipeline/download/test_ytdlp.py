"""Test status patterns, requirements and the log. Real downloads: tests/stages/test_download.py."""

import os
import subprocess
from types import SimpleNamespace

import pytest

from pipeline.download import ytdlp
from pipeline.download.queue import TRANSIENT, Log
from pipeline.errors import UserError
from pipeline.store.status import STATUSES, Outcome, failed


@pytest.mark.parametrize(
    ("message", "status"),
    [
        ("[youtube] x: Private video. Sign in if you've been granted access to this video", "private"),
        ("[youtube] x: Sign in to confirm your age. This video may be inappropriate for some users.", "age"),
        ("[youtube] x: The uploader has not made this video available in your country", "region"),
        ("This video contains content from X, who has blocked it in your country", "region"),
        ("[youtube] x: Video unavailable. This video has been removed by the uploader", "removed"),
        ("This video is no longer available because the YouTube account associated with this video has been "
         "terminated.", "removed"),
        ("This video has been removed for violating YouTube's Terms of Service", "removed"),
        ("Video unavailable. This video is no longer available due to a copyright claim by X", "removed"),
        ("[youtube] x: Video unavailable", "unavailable"),
        ("Join this channel to get access to members-only content like this video", "unavailable"),
        ("[youtube] x: Premieres in 3 hours", "unavailable"),
        ("[youtube] x: This live event will begin in 2 days.", "unavailable"),
        ("[youtube] x: Sign in to confirm you\u2019re not a bot. Use --cookies", "network"),
        ("Unable to download webpage: HTTP Error 429: Too Many Requests", "network"),
        ("Unable to download API page: HTTP Error 503: Service Unavailable", "network"),
        ("unable to download video data: HTTP Error 403: Forbidden", "network"),
        ("Unable to download webpage: HTTP Error 404: Not Found", "unavailable"),
        ("<urlopen error [Errno -3] Temporary failure in name resolution>", "network"),
        ("The read operation timed out", "network"),
        ("[https @ 0x1] HTTP error 403 Forbidden ffmpeg exited with code 8", "network"),
        ("Server returned 5XX Server Error reply ffmpeg exited with code 1", "network"),
        ("[http @ 0x1] Stream ends prematurely at 31, should be 62 ffmpeg exited with code 1", "cut_short"),
        ("Stream map '0:v' matches no streams. ffmpeg exited with code 234", "no_video"),
        ("Unsupported URL: http://127.0.0.1/x", "refused"),
        ("an unknown message", "network"),
    ],
)  # fmt: skip
def test_messages_have_their_status(message, status):
    assert ytdlp.guess_status(message) == status and status in STATUSES


def test_final_statuses_are_not_transient():
    assert not {"private", "region", "age", "removed", "unavailable", "refused", "no_audio", "no_video"} & {
        *TRANSIENT
    }
    assert {"network", "cut_short", "timeout"} <= {*TRANSIENT}


def settings(**changes):
    return SimpleNamespace(**{"url": "https://www.youtube.com/watch?v={id}", "cookies": None} | changes)


def test_a_javascript_runtime_is_installed():
    ytdlp.check_requirements(settings())
    runtimes = ytdlp._javascript_runtimes()
    assert "deno" in runtimes or "node" in runtimes
    for runtime in runtimes.values():
        assert subprocess.run([runtime["path"], "--version"], capture_output=True, check=True).stdout


def test_missing_requirements_are_errors(monkeypatch, tmp_path):
    with pytest.raises(UserError, match="download.cookies: .*gone.txt: no such file"):
        ytdlp.check_requirements(settings(cookies=str(tmp_path / "gone.txt")))
    monkeypatch.setattr(ytdlp, "_javascript_runtimes", dict)
    with pytest.raises(UserError, match="needs a JavaScript runtime.*pip install deno"):
        ytdlp.check_requirements(settings())
    ytdlp.check_requirements(settings(url="http://127.0.0.1:1/{id}"))  # other sites need no runtime


def test_the_log_keeps_the_last_status_and_counts_retry_requests(tmp_path):
    log = Log(tmp_path)
    assert log.load_outcome("a") is None and log.count_retry_requests("a") == 0
    log.save_outcome("a", failed("network", "gone"), 1)
    log.save_outcome("a", failed("private", 'it\'s "private"; drop table clips'), 2)
    assert log.load_outcome("a").status == "private" and "drop table" in log.load_outcome("a").detail
    log.request_retry(["a", "b"])
    assert (
        log.load_outcome("a") is None and log.count_retry_requests("a") == log.count_retry_requests("b") == 1
    )
    log.save_outcome("b", Outcome(), 1)
    assert Log(tmp_path).load_outcome("b").status == "ok" and os.listdir(tmp_path) == ["log.sqlite"]
