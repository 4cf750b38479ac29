"""A local imitation of the Hugging Face Hub: the requests that push and pull a model or a data set."""

import base64
import hashlib
import http.server
import json
import re
import threading
import urllib.parse
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import huggingface_hub
import pytest
import yaml

TOKEN = "hf_right"
LARGE = (".safetensors", ".onnx", ".parquet", ".tar")  # stored in Git LFS


class HubServer:
    """repos: id -> commits, each {path: content}; the last is main. `stop` ends the server.

    private: the requested visibility. gated: repositories whose files are refused.
    kinds: the requested type of a repository, if it is no model. error_status: if set, the status of every
    answer. requests: "METHOD path" of all requests.
    """

    def __init__(self) -> None:
        self.repos: dict[str, list[dict[str, bytes]]] = {}
        self.private: dict[str, Any] = {}
        self.kinds: dict[str, str] = {}
        self.gated: set[str] = set()
        self.error_status = 0
        self.requests: list[str] = []
        self.blobs: dict[str, bytes] = {}
        owner = self

        class Handler(http.server.BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def log_message(self, *_) -> None:
                pass

            def answer(self) -> None:
                length = int(self.headers.get("Content-Length", 0))
                body = self.rfile.read(length) if length else self.chunks()
                path = urllib.parse.unquote(urllib.parse.urlparse(self.path).path)
                owner.requests.append(f"{self.command} {path}")
                token = self.headers.get("Authorization", "").removeprefix("Bearer ")
                status, content, headers = owner.answer(self.command, path, body, token)
                part = re.fullmatch(r"bytes=(\d+)-(\d+)", self.headers.get("Range", ""))
                if part and status == 200:
                    status, content = 206, content[int(part[1]) : int(part[2]) + 1]
                self.send_response(status)
                for name, value in headers.items():
                    self.send_header(name, value)
                self.send_header("Content-Length", str(len(content)))
                self.end_headers()
                if self.command != "HEAD":
                    self.wfile.write(content)

            def chunks(self) -> bytes:
                content = b""
                if self.headers.get("Transfer-Encoding") == "chunked":
                    while size := int(self.rfile.readline(), 16):
                        content += self.rfile.read(size)
                        self.rfile.readline()
                    self.rfile.readline()
                return content

            do_GET = do_HEAD = do_POST = do_PUT = answer

        self.http = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.http.daemon_threads = True
        self.url = f"http://127.0.0.1:{self.http.server_port}"
        threading.Thread(target=self.http.serve_forever, kwargs={"poll_interval": 0.05}, daemon=True).start()

    def stop(self) -> None:
        self.http.shutdown()
        self.http.server_close()

    def answer(self, method: str, path: str, body: bytes, token: str) -> tuple[int, bytes, dict[str, str]]:
        if self.error_status:
            return self.error_status, b"{}", {}
        if method in ("POST", "PUT") and not path.startswith(("/lfs/", "/api/validate")) and token != TOKEN:
            return 401, b"{}", {"X-Error-Message": "Invalid credentials in Authorization header"}
        for pattern, route_method, handler in ROUTES:
            if route_method == method.replace("HEAD", "GET") and (match := re.fullmatch(pattern, path)):
                return handler(self, body, *match.groups())
        return 404, b"{}", {}

    # --- push --------------------------------------------------------------------------------------

    def create(self, body: bytes):
        request = json.loads(body)
        repo = f"{request['organization']}/{request['name']}"
        new = repo not in self.repos
        if new:
            self.repos[repo] = [{".gitattributes": b""}]
            self.private[repo] = request.get("visibility")
            if request.get("type"):
                self.kinds[repo] = request["type"]
        folder = "datasets/" if request.get("type") == "dataset" else ""
        return json_answer(
            {"url": f"{self.url}/{folder}{repo}", "id": repo, "name": repo}, 200 if new else 409
        )

    def validate(self, body: bytes):
        front = json.loads(body)["content"].split("---\n")[1]
        errors = [] if isinstance(yaml.safe_load(front), dict) else [{"message": "no mapping"}]
        return json_answer({"errors": errors, "warnings": []}, 400 if errors else 200)

    def preupload(self, body: bytes, repo: str, _: str):
        files = [f["path"] for f in json.loads(body)["files"]]
        mode = {path: "lfs" if path.endswith(LARGE) else "regular" for path in files}
        return json_answer(
            {"files": [{"path": p, "uploadMode": m, "shouldIgnore": False} for p, m in mode.items()]}
        )

    def batch(self, body: bytes, _: str):
        objects = json.loads(body)["objects"]
        for item in objects:
            if item["oid"] not in self.blobs:
                item["actions"] = {
                    "upload": {"href": f"{self.url}/lfs/{item['oid']}"},
                    "verify": {"href": f"{self.url}/lfs/verify"},
                }
        return json_answer({"transfer": "basic", "objects": objects})

    def put(self, body: bytes, oid: str):
        if hashlib.sha256(body).hexdigest() != oid:
            return 400, b"{}", {}
        self.blobs[oid] = body
        return 200, b"", {}

    def verify(self, body: bytes):
        request = json.loads(body)
        is_complete = len(self.blobs.get(request["oid"], b"")) == request["size"]
        return (200 if is_complete else 404), b"{}", {}

    def commit(self, body: bytes, repo: str, _: str):
        files = dict(self.repos[repo][-1])
        for line in map(json.loads, body.splitlines()):
            value = line["value"]
            if line["key"] == "file":
                files[value["path"]] = base64.b64decode(value["content"])
            elif line["key"] == "lfsFile":
                files[value["path"]] = self.blobs[value["oid"]]
            elif line["key"] == "deletedFile":
                del files[value["path"]]
        self.repos[repo].append(files)
        sha = commit_of(len(self.repos[repo]) - 1)
        return json_answer(
            {"commitUrl": f"{self.url}/{repo}/commit/{sha}", "commitOid": sha, "success": True}
        )

    # --- pull ---------------------------------------------------------------------------------------

    def at(self, repo: str, revision: str | None) -> tuple[str, dict[str, bytes]] | tuple[int, bytes, dict]:
        if repo not in self.repos:
            return (
                401,
                b"{}",
                {"X-Error-Code": "RepoNotFound"},
            )  # the hub does not reveal whether a private repository exists
        commits = {commit_of(i): files for i, files in enumerate(self.repos[repo])}
        sha = list(commits)[-1] if revision in (None, "main") else revision
        return (sha, commits[sha]) if sha in commits else (404, b"{}", {"X-Error-Code": "RevisionNotFound"})

    def info(self, _: bytes, repo: str, revision: str | None = None):
        commit = self.at(repo, revision)
        return (
            commit
            if len(commit) == 3
            else json_answer(
                {
                    "id": repo,
                    "sha": commit[0],
                    "siblings": [],
                    "private": self.private.get(repo) == "private",
                }
            )
        )

    def tree(self, _: bytes, repo: str, revision: str):
        commit = self.at(repo, revision)
        if len(commit) == 3:
            return commit
        rows = []
        for path, content in commit[1].items():
            row = {"type": "file", "path": path, "size": len(content), "oid": blob_of(content)}
            if path.endswith(LARGE):
                oid = hashlib.sha256(content).hexdigest()
                row["lfs"] = {"oid": oid, "size": len(content), "pointerSize": 130}
            rows.append(row)
        return json_answer(rows)

    def resolve(self, _: bytes, repo: str, revision: str, path: str):
        if repo in self.gated:
            return 403, b"{}", {"X-Error-Code": "GatedRepo"}
        commit = self.at(repo, revision)
        if len(commit) == 3:
            return commit
        sha, files = commit
        if path not in files:
            return 404, b"{}", {"X-Error-Code": "EntryNotFound", "X-Repo-Commit": sha}
        content = files[path]
        etag = hashlib.sha256(content).hexdigest() if path.endswith(LARGE) else blob_of(content)
        return 200, content, {"ETag": f'"{etag}"', "X-Repo-Commit": sha}


def run_hub_server(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[HubServer]:
    """Yield a server that the library `huggingface_hub` uses in this process, for a fixture."""
    server, constants = HubServer(), huggingface_hub.constants
    # The library reads HF_ENDPOINT when it is imported.
    monkeypatch.setattr(constants, "ENDPOINT", server.url)
    template = constants.HUGGINGFACE_CO_URL_TEMPLATE.partition("/{repo_id}")
    monkeypatch.setattr(constants, "HUGGINGFACE_CO_URL_TEMPLATE", server.url + "".join(template[1:]))
    monkeypatch.setattr(constants, "HF_HUB_CACHE", str(tmp_path / "cache"))
    # The test server has no Xet storage; without it the library uses Git LFS.
    monkeypatch.setattr(constants, "HF_HUB_DISABLE_XET", True)
    monkeypatch.setenv("HF_TOKEN", TOKEN)
    yield server
    server.stop()
    huggingface_hub.close_session()


REPO = r"([\w.-]+/[\w.-]+)"
KIND = "(?:models|datasets)"
ROUTES = [
    ("/api/repos/create", "POST", HubServer.create),
    ("/api/validate-yaml", "POST", HubServer.validate),
    (f"/api/{KIND}/{REPO}/preupload/(.+)", "POST", HubServer.preupload),
    (f"(?:/datasets)?/{REPO}.git/info/lfs/objects/batch", "POST", HubServer.batch),
    ("/lfs/verify", "POST", HubServer.verify),
    (r"/lfs/(\w+)", "PUT", HubServer.put),
    (f"/api/{KIND}/{REPO}/commit/(.+)", "POST", HubServer.commit),
    (f"/api/{KIND}/{REPO}", "GET", HubServer.info),
    (f"/api/{KIND}/{REPO}/revision/(.+)", "GET", HubServer.info),
    (f"/api/{KIND}/{REPO}/tree/([^/]+)/?", "GET", HubServer.tree),
    (f"(?:/datasets)?/{REPO}/resolve/([^/]+)/(.+)", "GET", HubServer.resolve),
]


def json_answer(value: Any, status: int = 200) -> tuple[int, bytes, dict[str, str]]:
    return status, json.dumps(value).encode(), {"Content-Type": "application/json"}


def commit_of(number: int) -> str:
    return hashlib.sha1(str(number).encode()).hexdigest()


def blob_of(content: bytes) -> str:
    """Return the Git object name of a file."""
    return hashlib.sha1(b"blob %d\0" % len(content) + content).hexdigest()
