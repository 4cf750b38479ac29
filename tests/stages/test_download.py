"""The stage download over the network: real yt-dlp and ffmpeg against a server on loopback."""

import os
import signal
import time
from collections import Counter

import psutil
import pytest
import yaml

from testing.preloaded_process import PreloadedProcess
from testing.project import Project, wait_until
from testing.video_server import Server, encode_video

LABELS = 'index,mid,display_name\n0,/m/a,"Speech"\n1,/m/b,"Guitar"\n'
ONTOLOGY = (
    '[{"id": "/m/a", "name": "Speech", "child_ids": []}, {"id": "/m/b", "name": "Guitar", "child_ids": []}]'
)
# Named by the answer of the server; each with the status of the clip.
FAILURES = {
    "v-404": "unavailable",
    "v-403": "network",
    "v-500": "network",
    "v-cut": "cut_short",
    "v-stall": ("cut_short", "network"),
    "v-html": "refused",
    "v-silent": "no_audio",
    "v-blind": "no_video",
    "../x": "refused",
}
SUCCESSES = ("good1", "good2", "-abc", "v-429", "v-brief")


@pytest.fixture(scope="module")
def videos_on_server(tmp_path_factory):
    folder = tmp_path_factory.mktemp("videos")
    files = {
        "silent": encode_video(folder / "a.mp4", sound=False),
        "blind": encode_video(folder / "b.mp4", picture=False),
        "brief": encode_video(folder / "c.mp4", seconds=3.0),
    }
    return encode_video(folder / "d.mp4"), files


def make_project(root, url, videos, **changes):
    knobs = {
        "data.source": "audioset",
        "data.shard_size": 4,
        "data.audioset.train": ["lists/train.csv"],
        "data.audioset.eval": [],
        "data.audioset.labels": "lists/labels.csv",
        "data.audioset.ontology": "lists/ontology.json",
        "data.audioset.classes": "all",
        "download.url": f"{url}{{id}}.mp4",
        "download.height": 64,
        "download.per_minute": 100000.0,
        "download.stall": 1.0,
        "download.timeout": 10.0,
        "download.retries": 2,
        "download.wait": 0.2,
        "download.max_missing": 0.0,
        "download.give_up": 1000,
    }
    project = Project.new(root, **knobs | changes)
    (project / "lists").mkdir()
    (project / "trace").mkdir()
    (project / "lists/labels.csv").write_text(LABELS)
    (project / "lists/ontology.json").write_text(ONTOLOGY)
    rows = [f'{video}, 1.000, 4.000, "{"/m/a" if i % 2 else "/m/b"}"' for i, video in enumerate(videos)]
    (project / "lists/train.csv").write_text("\n".join(rows) + "\n")
    project.run("clips", trace=project / "trace/clips")
    return project


def statuses(project):
    ids = {r["clip_id"]: r["video_id"] for r in project.rows("clips.parquet")}
    return {ids[r["clip_id"]]: r["status"] for r in project.rows("media/index.parquet")}


def leftovers(project):
    """Return files that should not exist: temporary files, parts, and media that shards hold."""
    files = [p for p in (project / "data").rglob("*") if p.is_file()]
    return [
        p for p in files if ".tmp" in str(p) or p.suffix in (".part", ".mkv", ".ytdl") or "stderr" in p.name
    ]


def project_processes(project):
    """Return the command lines of processes that work in this project."""
    command_lines = []
    for process in psutil.process_iter(["cmdline"]):
        if any(str(project.root) in word for word in process.info["cmdline"] or []):
            command_lines.append(process.info["cmdline"])
    return command_lines


@pytest.fixture(scope="module")
def faulty_download(videos_on_server, tmp_path_factory):
    """Download from a server with every fault; yield the project, the server and what the stage printed."""
    server = Server(*videos_on_server)
    project = make_project(
        tmp_path_factory.mktemp("faulty") / "a project", server.url, [*SUCCESSES, *FAILURES]
    )
    process = project.start_stage("download", trace=project / "trace/download")
    out, err = process.communicate(timeout=120)
    yield project, server, process.returncode, out, err
    server.stop()


def test_each_fault_ends_as_it_should(faulty_download):
    project, server, code, out, err = faulty_download
    status_by_video = statuses(project)
    for video, expected in (dict.fromkeys(SUCCESSES, "ok") | FAILURES).items():
        assert status_by_video[video] in (expected if isinstance(expected, tuple) else (expected,)), (
            video,
            status_by_video[video],
        )
    # More clips have temporary faults than download.max_missing allows, so the stage fails.
    assert code == 1 and len(err.splitlines()) == 1
    assert "4 of 14 clips are missing for temporary reasons" in err and "dvc repro to fetch" in err
    assert "download: 13 of 13 clips: 5 ok" in out and "a minute" in out
    assert not leftovers(project)
    wait_until(lambda: not project_processes(project))
    assert not [
        p for p in project.root.parent.iterdir() if p.name != "a project"
    ]  # ../x wrote nothing outside the project


def test_temporary_faults_are_tried_again_and_final_ones_are_not(faulty_download):
    _, server, *_ = faulty_download
    counts = Counter(server.requests)
    assert counts["v-403"] == counts["v-500"] == 3  # once, and twice more
    assert counts["v-404"] == 1 and counts["v-html"] == 1
    assert counts["v-429"] == 4  # refused twice; then probed, and read
    assert not {"x", "../x"} & counts.keys()


def test_only_the_segment_is_downloaded(faulty_download):
    project, *_ = faulty_download
    for stage in ("wav", "frames"):
        project.run(stage)
    seconds = {r["clip_id"]: r["seconds"] for r in project.rows("wav/index.parquet") if r["status"] == "ok"}
    assert seconds["good1_1"] == pytest.approx(1.5, abs=0.01)  # data.clip_seconds of 3
    assert len(seconds) == 5 and project.rows("frames/index.parquet")[0]["status"] == "ok"


def test_the_next_run_fetches_exactly_the_rest(faulty_download):
    project, server, *_ = faulty_download
    before = statuses(project)
    rest = {v for v, s in before.items() if s in ("network", "cut_short")}
    server.requests.clear()
    project.set({"download.max_missing": 0.5, "download.retries": 0})
    last_line = project.run("download")
    assert "14 clips in, 5 ok" in last_line and "; 4 made" in last_line
    assert set(server.requests) == rest and statuses(project) == before
    server.requests.clear()
    project.set({"download.max_missing": 0.5, "download.per_minute": 200.0})  # changes how, not what
    (project / "pipeline/download/queue.py").open("a").write("\n# mended\n")  # nor does the code
    project.run("download")
    assert set(server.requests) == rest


def test_failures_are_listed_and_selected_ones_tried_again(faulty_download):
    project, server, *_ = faulty_download

    def app(*arguments):
        process = PreloadedProcess(project.root, ["app.failures", *arguments])
        out, err = process.communicate(timeout=120)
        return process.returncode, out, err

    code, out, _ = app()
    assert code == 0 and "download: 1 unavailable: " in out and "download: 1 no_audio" in out
    assert app("--reason", "unavailable,no_audio")[1].split() == ["v-404_1", "v-silent_1"]
    code, _, err = app("--retry", "unavailble")
    assert code == 1 and "unavailble: no such reason" in err
    project.set({"download.max_missing": 0.5, "download.retries": 0})
    project.run_command("dvc", "init", "--no-scm", "--quiet")
    project.run("source")
    project.run_command("dvc", "commit", "--force", "--quiet", "source", "clips", "download")
    server.requests.clear()
    code, out, err = app("--retry", "unavailable")
    assert code == 0, err
    assert (
        "1 clips will be downloaded again" in out
        and "v-404" in server.requests
        and "v-silent" not in server.requests
    )


def test_a_kill_loses_nothing(videos_on_server, tmp_path):
    server = Server(*videos_on_server, slow=0.3)
    try:
        videos = [f"clip{i}" for i in range(12)]
        project = make_project(tmp_path / "project", server.url, videos, **{"download.concurrent": 2})
        process = project.start_stage("download")
        downloads = project / "data/downloads"
        wait_until(lambda: len(list(downloads.glob("*.mkv"))) >= 3)
        os.kill(process.pid, signal.SIGKILL)
        process.communicate(timeout=30)
        wait_until(lambda: not project_processes(project))  # its workers and their ffmpeg end with it
        finished = {p.stem.removesuffix("_1") for p in downloads.glob("*.mkv")}
        server.requests.clear()
        assert "12 clips in, 12 ok" in project.run("download")
        assert set(server.requests) <= set(videos) - finished
        assert not leftovers(project)
    finally:
        server.stop()


def test_ctrl_c_is_one_line_and_leaves_no_process(videos_on_server, tmp_path):
    server = Server(*videos_on_server, slow=0.5)
    try:
        project = make_project(tmp_path / "project", server.url, [f"clip{i}" for i in range(8)])
        process = project.start_stage("download")
        wait_until(lambda: len(server.requests) >= 3)
        os.killpg(process.pid, signal.SIGINT)
        _, err = process.communicate(timeout=30)
        assert (
            process.returncode == 1
            and err.count("\n") <= 2
            and "interrupted: what is finished is kept" in err
        )
        wait_until(lambda: not project_processes(project))
        assert not [p for p in (project / "data/downloads").iterdir() if p.name.startswith(".tmp")]
    finally:
        server.stop()


def test_a_stream_without_end_is_given_up(videos_on_server, tmp_path):
    server = Server(*videos_on_server)
    try:
        changes = {"download.timeout": 2.0, "download.retries": 1}
        project = make_project(tmp_path / "project", server.url, ["v-endless"], **changes)
        message = (
            "1 of 1 clips are missing for temporary reasons (1 timeout): run dvc repro to fetch only these"
        )
        assert message in project.expect_error("download") and Counter(server.requests)["v-endless"] >= 2
        server.requests.clear()
        project.set({"download.max_missing": 1.0, "download.retries": 0})
        assert "download: 1 clips in, 0 ok, 1 timeout" in project.run("download")
        assert set(server.requests) == {"v-endless"}  # a temporary fault is tried again
    finally:
        server.stop()
    assert statuses(project) == {"v-endless": "timeout"} and not leftovers(project)
    wait_until(lambda: not project_processes(project))


def test_download_gives_up_after_many_failures_in_a_row(videos_on_server, tmp_path):
    server = Server(*videos_on_server)
    try:
        videos = [f"c{i}-403" for i in range(40)]
        project = make_project(tmp_path / "project", server.url, videos, **{"download.give_up": 6})
        line = project.expect_error("download")
        assert "download: 6 tries in a row failed" in line and len(server.requests) <= 6 + 4
    finally:
        server.stop()


def test_the_rate_limit_holds(videos_on_server, tmp_path):
    server = Server(*videos_on_server)
    try:
        project = make_project(tmp_path / "project", server.url, ["a1", "a2"], **{"download.concurrent": 1})
        project.set({"download.rate_limit": 50_000, "download.timeout": 20.0})
        start = time.monotonic()
        project.run("download")
        size = sum(row["size"] for row in project.rows("media/index.parquet"))
        assert time.monotonic() - start > size / 50_000 > 0.5
    finally:
        server.stop()


def test_parameters_are_checked_before_any_request(tmp_path):
    for key, value in (
        ("url", "ftp://x/{id}"),
        ("url", "http://x/"),
        ("concurrent", 0),
        ("max_missing", 2.0),
    ):
        project = Project.new(tmp_path / f"{key}-{value!s}".replace("/", ""), **{f"download.{key}": value})
        assert f"download.{key}" in project.expect_error("clips") or "url" in project.expect_error("clips")
    assert yaml.safe_load((project / "params.yaml").read_text())["data"]["source"] == "ensemble"
