"""What a download means, and what it takes; the download itself: tests/stages/test_download.py."""

import os
import subprocess
from types import SimpleNamespace

import pytest

from pipeline.download import ytdlp
from pipeline.download.queue import PASSING, Log
from pipeline.errors import UserError
from pipeline.store.status import STATUSES, Outcome, failed


@pytest.mark.parametrize(
    ("said", "status"),
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
        ("something that nobody has heard of", "network"),
    ],
)  # fmt: skip
def test_reasons_are_told_apart(said, status):
    assert ytdlp.meaning(said) == status and status in STATUSES


def test_final_reasons_are_not_passing():
    assert not {"private", "region", "age", "removed", "unavailable", "refused", "no_audio", "no_video"} & {
        *PASSING
    }
    assert {"network", "cut_short", "timeout"} <= {*PASSING}


def settings(**changes):
    return SimpleNamespace(**{"url": "https://www.youtube.com/watch?v={id}", "cookies": None} | changes)


def test_a_runtime_for_youtubes_scripts_is_in_the_environment():
    ytdlp.ready(settings())
    found = ytdlp._runtimes()
    assert "deno" in found or "node" in found
    for runtime in found.values():
        assert subprocess.run([runtime["path"], "--version"], capture_output=True, check=True).stdout


def test_what_is_missing_is_told_before_the_first_request(monkeypatch, tmp_path):
    with pytest.raises(UserError, match="download.cookies: .*gone.txt: no such file"):
        ytdlp.ready(settings(cookies=str(tmp_path / "gone.txt")))
    monkeypatch.setattr(ytdlp, "_runtimes", dict)
    with pytest.raises(UserError, match="needs a JavaScript runtime.*pip install deno"):
        ytdlp.ready(settings())
    ytdlp.ready(settings(url="http://127.0.0.1:1/{id}"))  # another site needs none


def test_the_log_keeps_the_last_word_and_counts_what_is_asked_again(tmp_path):
    log = Log(tmp_path)
    assert log.get("a") is None and log.asked("a") == 0
    log.put("a", failed("network", "gone"), 1)
    log.put("a", failed("private", 'it\'s "private"; drop table clips'), 2)
    assert log.get("a").status == "private" and "drop table" in log.get("a").detail
    log.again(["a", "b"])
    assert log.get("a") is None and log.asked("a") == log.asked("b") == 1
    log.put("b", Outcome(), 1)
    assert Log(tmp_path).get("b").status == "ok" and os.listdir(tmp_path) == ["log.sqlite"]
