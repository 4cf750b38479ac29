"""`python -m app` in a project that has run: attacks over HTTP, and use in a real browser."""

import contextlib
import http.client
import json
import os
import re
import shutil
import signal
import socket
import subprocess
import sys
import threading
import time
from pathlib import Path
from types import SimpleNamespace

import cv2
import numpy as np
import psutil
import pytest

from app.answers import render
from app.charts import histogram
from app.decoder import MAX_FILE_BYTES, Decoder
from app.runs import THIS_PROJECT, Runs
from models.inference import decode
from pipeline.errors import UserError
from pipeline.media.wav import write_wav
from testing.preloaded_process import PreloadedProcess
from testing.recordings import sine

ROOT = Path(__file__).parents[2]
CHROMIUM = shutil.which("chromium") or shutil.which("chromium-browser")
browsers = pytest.mark.skipif(CHROMIUM is None, reason="no Chromium: apt-get install chromium")


def tone() -> bytes:
    return write_wav((sine(2.0, rate=16000) * 32767).astype(np.int16), 16000)


@contextlib.contextmanager
def serving(project: Path, temporary: Path):
    """Run the app in a process, and stop it with Ctrl-C. Yields port, url and process."""
    command = [sys.executable, "-m", "app", "--port", "0", "--project", str(project)]
    environment = os.environ | {"TMPDIR": str(temporary), "OMP_NUM_THREADS": "1"}
    log = temporary / "log"  # a file: a pipe that is not read would block the app
    with open(log, "w") as output:
        process = subprocess.Popen(
            command, cwd=ROOT, env=environment, stdout=output, stderr=subprocess.STDOUT, text=True
        )
    try:
        deadline = time.monotonic() + 90
        while not (match := re.search(r"http://127\.0\.0\.1:(\d+)", log.read_text())):
            assert process.poll() is None and time.monotonic() < deadline, log.read_text()
            time.sleep(0.1)
        yield SimpleNamespace(port=int(match[1]), url=f"http://127.0.0.1:{match[1]}", process=process)
    finally:
        stop(process)


def stop(process: subprocess.Popen) -> None:
    """End the app with Ctrl-C, if it runs."""
    process.send_signal(signal.SIGINT)
    try:
        process.wait(20)
    except subprocess.TimeoutExpired:
        process.kill()
        raise


@pytest.fixture(scope="module")
def app(finished_project, tmp_path_factory):
    temporary = tmp_path_factory.mktemp("app")
    with serving(finished_project.root, temporary) as running:
        running.temporary = temporary
        yield running


def get(app, path: str, host: str | None = None) -> tuple[int, bytes]:
    connection = http.client.HTTPConnection("127.0.0.1", app.port, timeout=20)
    connection.putrequest("GET", path, skip_host=True)
    connection.putheader("Host", host or f"127.0.0.1:{app.port}")
    connection.endheaders()
    answer = connection.getresponse()
    content = answer.read()
    connection.close()
    return answer.status, content


def test_only_clips_by_number_are_served(app, finished_project):
    base = "/clips/this%20project"
    row = next(
        i
        for i, clip in enumerate(finished_project.rows("embeddings/clips.parquet"))
        if {"wav", "frames"}
        <= {s for s in ("wav", "frames") for r in finished_project.rows(f"{s}/index.parquet") if _ok(r, clip)}
    )
    status, picture = get(app, f"{base}/{row}.jpg")
    assert status == 200 and picture[:2] == b"\xff\xd8"
    status, sound = get(app, f"{base}/{row}.wav")
    assert status == 200 and sound[:4] == b"RIFF"
    for path in (
        f"{base}/100000.jpg",
        f"{base}/-1.jpg",
        f"{base}/../../params.yaml",
        f"{base}/..%2f..%2fparams.yaml",
        "/clips/..%2f..%2fetc/1.jpg",
        "/clips/no-such-experiment/1.jpg",
        "/params.yaml",
    ):
        assert get(app, path)[0] in (404, 422), path


def _ok(row: dict, clip: dict) -> bool:
    return row["clip_id"] == clip["clip_id"] and row["status"] == "ok"


def test_no_file_of_this_machine_is_served(app, finished_project):
    for path in (
        "/etc/passwd",
        str(finished_project / "params.yaml"),
        str(ROOT / "README.md"),
        "../../etc/passwd",
    ):
        status, content = get(app, f"/gradio_api/file={path}")
        assert status in (403, 404) and b"root:" not in content, path


def test_no_url_is_fetched_for_a_browser(app):
    """Neither by Gradio's routes for files and other apps, nor as an upload."""
    hits: list = []
    with socket.create_server(("127.0.0.1", 0)) as target:
        target.settimeout(3)
        address = f"http://127.0.0.1:{target.getsockname()[1]}/x.wav"

        def listen() -> None:
            with contextlib.suppress(OSError):
                hits.append(target.accept()[1])

        listener = threading.Thread(target=listen)
        listener.start()
        assert get(app, f"/gradio_api/file={address}")[0] in (400, 403, 404)
        assert get(app, f"/gradio_api/proxy={address}")[0] in (400, 403, 404)
        config = json.loads(get(app, "/config")[1])
        for number in range(len(config["dependencies"])):
            file = {"path": address, "url": address, "meta": {"_type": "gradio.FileData"}}
            inputs = [file] * len(config["dependencies"][number]["inputs"])
            body = {"fn_index": number, "data": inputs, "session_hash": f"s{number}"}
            connection = http.client.HTTPConnection("127.0.0.1", app.port, timeout=20)
            connection.request(
                "POST", "/gradio_api/queue/join", json.dumps(body), {"Content-Type": "application/json"}
            )
            connection.getresponse().read()
            connection.close()
        listener.join()
    assert hits == []


def change_component(app, component: str, inputs: list) -> str:
    """Send the event of a changed component. Returns the response."""

    def post(path: str, body: dict) -> None:
        connection = http.client.HTTPConnection("127.0.0.1", app.port, timeout=60)
        connection.request("POST", path, json.dumps(body), {"Content-Type": "application/json"})
        connection.getresponse().read()
        connection.close()

    config = json.loads(get(app, "/config")[1])
    [component_id] = [c["id"] for c in config["components"] if c["props"].get("elem_id") == component]
    number = next(d["id"] for d in config["dependencies"] if [component_id, "change"] in d["targets"])
    session = f"s{time.monotonic_ns()}"
    post("/gradio_api/queue/join", {"fn_index": number, "data": inputs, "session_hash": session})
    return get(app, f"/gradio_api/queue/data?session_hash={session}")[1].decode()


def test_a_file_that_was_not_uploaded_is_not_read(app, tmp_path):
    [uploads] = app.temporary.glob("earsight-app-*")
    (tmp_path / "tone.wav").write_bytes(tone())
    (app.temporary / "tone.wav").write_bytes(tone())
    os.symlink(tmp_path / "tone.wav", uploads / "tone.wav")
    for path in (tmp_path / "tone.wav", uploads / "../tone.wav", uploads / "tone.wav"):
        file = {"path": str(path), "meta": {"_type": "gradio.FileData"}}
        response = change_component(app, "search-sound", [THIS_PROJECT, file, "both", 10])
        assert '"success":false' in response and "nearest" not in response, path
    assert '"success":true' in change_component(app, "search-sound", [THIS_PROJECT, None, "both", 10])


def test_another_name_for_this_machine_is_refused(app):
    assert get(app, "/", "evil.example")[0] == 400
    assert get(app, "/", f"localhost:{app.port}")[0] == 200


def test_the_page_loads_nothing_from_other_hosts(app):
    connection = http.client.HTTPConnection("127.0.0.1", app.port, timeout=20)
    connection.request("GET", "/")
    answer = connection.getresponse()
    text = answer.read().decode()
    policy = answer.getheader("Content-Security-Policy")
    connection.close()
    assert "default-src 'self'" in policy and "http" not in policy
    assert not re.search(r"""<(script|link)[^>]+(src|href)=["']?https?://(?!127\.0\.0\.1)""", text)
    assert "fonts.googleapis" not in text


def test_text_is_escaped():
    evil = "<img src=x onerror=alert(1)>"
    card = {"row": 1, "clip_id": evil, "labels": evil, "url": "clips/a/1", "score": "0.1"}
    query_preview = {"name": evil, "image": None, "sound": None}
    html = render(
        "search", query=query_preview, galleries=[{"title": evil, "role": "audio", "cards": [card]}], total=1
    )
    assert "<img src=x" not in html and html.count("&lt;img src=x") >= 4
    assert "<img" not in render("failed", text=evil)


def test_the_histogram_has_bars_and_the_score():
    svg = histogram(np.array([1.0, 2.0]), np.array([-2.0, -1.0, 0.0]), 0.5)
    assert svg.count('class="right"') == 2 and svg.count('class="wrong"') == 3 and "+0.50" in svg


@pytest.fixture(scope="module")
def config(finished_project):
    return json.loads((finished_project / "checkpoints/config.json").read_text())


def test_files_are_decoded_with_limits(config, tmp_path):
    decoder = Decoder(tmp_path, workers=1)
    try:
        (tmp_path / "broken.mp4").write_bytes(b"\0" * 2000)
        with pytest.raises(UserError, match=r"^broken.mp4: neither sound nor picture"):
            decoder.read(config, tmp_path / "broken.mp4")
        with open(tmp_path / "large.wav", "wb") as f:
            f.truncate(MAX_FILE_BYTES + 1)
        with pytest.raises(UserError, match="large.wav: 100 MB: at most 100 MB"):
            decoder.read(config, tmp_path / "large.wav")
        with pytest.raises(UserError, match="tone.wav: no such upload"):
            decoder.read(config, tmp_path / "tone.wav")
        with pytest.raises(UserError, match="README.md: no such upload"):
            decoder.read(config, ROOT / "README.md")
        path = tmp_path / "tone.wav"
        path.write_bytes(tone())
        limited, direct = decoder.read(config, path), decode.decode_file(config, path)
        assert np.array_equal(limited.data.audio, direct.data.audio)
    finally:
        decoder.close()


def hang(config: dict, path: str, start: float) -> str:
    """Replace the decoder: the file `endless` never ends."""
    while Path(path).name == "endless":
        time.sleep(0.1)
    return path


def test_a_file_that_blocks_its_decoder_fails_alone(config, tmp_path):
    """One that never ends, and one whose decoder is killed; the next file is read again."""
    decoder = Decoder(tmp_path, workers=1, seconds=3, work=hang)
    good, endless = tmp_path / "a.wav", tmp_path / "endless"
    good.touch()
    endless.touch()
    other_processes = set(psutil.Process().children(recursive=True))
    try:
        assert decoder.read(config, good) == str(good)
        with pytest.raises(UserError, match=r"^endless: not decoded within 3 s"):
            decoder.read(config, endless)
        assert decoder.read(config, good) == str(good)
        [worker] = [
            p
            for p in set(psutil.Process().children(recursive=True)) - other_processes
            if not p.children() and "resource_tracker" not in str(p.cmdline())
        ]
        killer = threading.Timer(0.5, worker.kill)
        killer.start()
        with pytest.raises(UserError, match=r"^endless: the decoder crashed on it"):
            decoder.read(config, endless)
        assert decoder.read(config, good) == str(good)
    finally:
        decoder.close()


def test_no_model_and_a_taken_port_are_one_line(finished_project, tmp_path):
    def error_of(*arguments: str) -> str:
        process = PreloadedProcess(ROOT, ["app", *arguments])
        _, err = process.communicate(timeout=60)
        assert process.returncode == 1 and "Traceback" not in err
        return err

    assert "no model: train one first" in error_of("--project", str(tmp_path))
    with socket.create_server(("127.0.0.1", 0)) as blocker:
        port = str(blocker.getsockname()[1])
        assert "in use" in error_of("--project", str(finished_project.root), "--port", port)


@pytest.fixture(scope="module")
def experiments(finished_project, tmp_path_factory):
    """Make a project with Git and DVC and an experiment `other` with another loss and score."""
    project = finished_project.copy(tmp_path_factory.mktemp("experiments") / "project")
    run = project.run_command

    shutil.copy(ROOT / ".gitignore", project.root)
    run("git", "init", "--quiet")
    run("git", "config", "user.email", "t@example.org")
    run("git", "config", "user.name", "t")
    run("dvc", "init", "--quiet")
    run("dvc", "commit", "--force", "--quiet", "dvc.yaml")
    run("git", "add", ".")
    run("git", "commit", "--quiet", "--message", "as it was")
    metrics = json.loads((project / "metrics/evaluate.json").read_text())
    auc = metrics["correspondence"]["auc"]
    metrics["correspondence"]["auc"] = 0.9999
    (project / "metrics/evaluate.json").unlink()
    (project / "metrics/evaluate.json").write_text(json.dumps(metrics))
    project.set({"loss": "triplet"})
    run("dvc", "commit", "--force", "--quiet", "dvc.yaml")
    run("dvc", "exp", "save", "--name", "other", "--force")
    run("git", "restore", ".")
    run("dvc", "checkout", "--force", "dvc.yaml")
    project.auc = auc
    return project


def test_experiments_are_listed_and_opened(experiments):
    runs = Runs(experiments.root)
    try:
        assert runs.names() == [THIS_PROJECT, "other"]
        other, current = runs.leaderboard()  # the best first
        assert (other["name"], other["metrics"]["correspondence.auc"]) == ("other", 0.9999)
        assert (current["name"], current["metrics"]["correspondence.auc"]) == (THIS_PROJECT, experiments.auc)
        assert other["params"] == {"loss": "triplet"} and current["params"] == {"loss": "infonce"}
        assert runs["other"].folder != runs[THIS_PROJECT].folder
        assert (
            runs["other"].config == runs[THIS_PROJECT].config
            and runs["other"].clips == runs[THIS_PROJECT].clips
        )
        row = next(i for i in range(len(runs[THIS_PROJECT].clips)) if runs[THIS_PROJECT].read_wav(i))
        assert runs["other"].read_wav(row) == runs[THIS_PROJECT].read_wav(row)
        assert np.array_equal(runs["other"].read_image(row), runs[THIS_PROJECT].read_image(row))
        with pytest.raises(UserError, match="no such experiment"):
            runs["another"]
    finally:
        runs.close()


# --- in a browser -----------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def chromium():
    from playwright.sync_api import sync_playwright

    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=CHROMIUM, args=["--no-sandbox"])
        yield browser
        browser.close()


@pytest.fixture(scope="module")
def media(finished_project, tmp_path_factory):
    """Write a clip of the data as a file, a tone, a picture, and a broken file."""
    folder = tmp_path_factory.mktemp("media")
    indexed = {clip["clip_id"] for clip in finished_project.rows("embeddings/clips.parquet")}
    row = next(r for r in finished_project.rows("media/index.parquet") if r["clip_id"] in indexed)
    value = finished_project.rows(f"media/{row['shard']:05d}.parquet")[row["row"]]
    (folder / "a clip <b>.mp4").write_bytes((value["video"] or value["audio"])["bytes"])
    (folder / "tone.wav").write_bytes(tone())
    cv2.imwrite(str(folder / "wall.png"), np.full((90, 120, 3), 90, np.uint8))
    (folder / "broken.wav").write_bytes(b"RIFF\0\0\0\0WAVE" + b"\0" * 500)
    return folder


@pytest.fixture
def visit(app, chromium):
    """A function that opens the page. tab.elsewhere: requests to other servers than the app."""
    contexts = []

    def open_page(**options):
        context = chromium.new_context(**options)
        contexts.append(context)
        tab = context.new_page()
        tab.elsewhere = []
        tab.on(
            "request",
            lambda r: (
                tab.elsewhere.append(r.url) if not r.url.startswith((app.url, "data:", "blob:")) else None
            ),
        )
        tab.goto(app.url)
        tab.wait_for_selector("#examples .es-card", timeout=60_000)
        return tab

    yield open_page
    for context in contexts:
        context.close()


def upload(tab, component: str, path: Path) -> None:
    tab.set_input_files(f"#{component} input[type=file]", str(path))


@browsers
def test_search_by_file_and_by_example(visit, media):
    tab = visit()
    upload(tab, "search-sound", media / "tone.wav")
    tab.wait_for_selector("#found .es-card", timeout=60_000)
    assert "tone.wav" in tab.inner_text("#found")
    assert "Pictures nearest to this sound" in tab.inner_text("#found")
    tab.locator("#find label", has_text="Sounds").click()  # a changed setting searches again
    tab.wait_for_function("!document.querySelector('#found').innerText.includes('Pictures nearest')")
    tab.wait_for_selector("#found .es-card")
    assert "tone.wav" in tab.inner_text("#found") and "Sounds nearest" in tab.inner_text("#found")
    tab.click("#examples .es-ask >> nth=1")
    tab.wait_for_function("!document.querySelector('#found').innerText.includes('tone.wav')")
    tab.wait_for_selector("#found .es-card")
    assert "Pictures nearest" not in tab.inner_text("#found")
    tab.locator("#find label", has_text="Both").click()
    tab.wait_for_function("document.querySelector('#found').innerText.includes('Pictures nearest')")
    assert tab.locator("#found .es-card").count() > 10
    assert tab.elsewhere == []


@browsers
def test_a_broken_file_is_answered_with_a_line(visit, media):
    tab = visit()
    upload(tab, "search-sound", media / "broken.wav")
    tab.wait_for_selector("#found .es-failed", timeout=60_000)
    assert "broken.wav: neither sound nor picture" in tab.inner_text("#found")


@browsers
def test_words_that_the_model_does_not_understand_are_answered_with_a_line(visit):
    tab = visit()
    tab.fill("#words input, #words textarea", "a church bell")
    tab.press("#words input, #words textarea", "Enter")
    tab.wait_for_selector("#found .es-failed", timeout=60_000)
    assert "the model does not understand words: train one with" in tab.inner_text("#found")


@browsers
def test_a_sound_and_a_picture_are_compared(visit, media):
    tab = visit()
    tab.get_by_role("tab", name="Belong together?").click()
    tab.click("#compare")
    tab.wait_for_selector("#verdict .es-failed")
    assert "give a sound and a picture" in tab.inner_text("#verdict")
    upload(tab, "belong-sound", media / "tone.wav")
    upload(tab, "belong-picture", media / "wall.png")
    tab.wait_for_selector("#belong-picture img")
    tab.wait_for_timeout(500)
    tab.click("#compare")
    tab.wait_for_selector("#verdict .es-verdict", timeout=60_000)
    assert "belong together" in tab.inner_text("#verdict")
    assert tab.locator("#verdict svg.chart").count() == 1


@browsers
def test_a_video_is_scored_along_time(visit, media):
    tab = visit()
    tab.get_by_role("tab", name="Belong together?").click()
    tab.get_by_role("tab", name="Video along time").click()
    upload(tab, "belong-video", media / "a clip <b>.mp4")
    tab.wait_for_selector("#verdict .line", state="attached", timeout=60_000)
    assert "a clip b.mp4 along time" in tab.inner_text("#verdict")  # Gradio removes < and >
    assert tab.locator("#verdict circle").count() > 1


@browsers
def test_what_is_it_and_look_around(visit, app):
    phone = visit(viewport={"width": 390, "height": 844}, color_scheme="dark")
    assert phone.evaluate("document.documentElement.scrollWidth") <= 390  # no horizontal scrolling
    tab = visit(viewport={"width": 1280, "height": 900}, color_scheme="dark")
    tab.get_by_role("tab", name="What is it?").click()
    tab.wait_for_selector("#classes .es", timeout=30_000)
    assert "task: matching" in tab.inner_text("#classes")
    tab.get_by_role("tab", name="Look around").click()
    tab.wait_for_selector("#map svg g", timeout=60_000)
    tab.hover("#map svg g >> nth=-1")  # the last is drawn over the others
    tab.wait_for_selector("#map .es-tip:not([hidden])")
    tab.click("#map svg g >> nth=-1")
    tab.wait_for_selector("#map g.playing")
    tab.get_by_role("tab", name="Experiments").click()
    tab.wait_for_selector("#leaderboard table", timeout=60_000)
    assert "this project" in tab.inner_text("#leaderboard")


@browsers
def test_two_sessions_are_independent(visit, media):
    one, two = visit(), visit()
    upload(one, "search-sound", media / "tone.wav")
    two.click("#examples .es-ask >> nth=0")
    for tab in (one, two):
        tab.wait_for_selector("#found .es-card", timeout=60_000)
    assert "tone.wav" in one.inner_text("#found") and "tone.wav" not in two.inner_text("#found")


# --- the last test: it stops the app ---------------------------------------------------------------------


def test_uploads_are_deleted(app):
    content = (
        b'--x\r\nContent-Disposition: form-data; name="files"; filename="upload.wav"\r\n\r\nabc\r\n--x--\r\n'
    )
    connection = http.client.HTTPConnection("127.0.0.1", app.port, timeout=20)
    connection.request(
        "POST", "/gradio_api/upload", content, {"Content-Type": "multipart/form-data; boundary=x"}
    )
    assert connection.getresponse().status == 200
    connection.close()
    connection = http.client.HTTPConnection("127.0.0.1", app.port, timeout=20)
    connection.putrequest("POST", "/gradio_api/upload")
    connection.putheader("Content-Type", "multipart/form-data; boundary=x")
    connection.putheader("Content-Length", str(3 * MAX_FILE_BYTES))
    connection.endheaders()
    assert connection.getresponse().status == 413
    connection.close()
    assert [p.read_bytes() for p in app.temporary.rglob("upload.wav")] == [b"abc"]
    stop(app.process)
    time.sleep(0.2)
    assert not list(app.temporary.glob("earsight-*"))
