import os

import pytest

from pipeline.errors import UserError
from pipeline.media import ffmpeg


@pytest.fixture(autouse=True)
def fresh():
    ffmpeg.binary.cache_clear()
    yield
    ffmpeg.binary.cache_clear()


def script(path, text):
    path.write_text(f"#!/bin/sh\n{text}\n")
    path.chmod(0o755)
    return path


def fake_ffmpeg(path, version):
    return script(path, f"echo ffmpeg version {version} Copyright")


def test_a_binary_exists():
    assert ffmpeg.version(ffmpeg.binary()) >= (4, 0)


@pytest.mark.parametrize(
    "system, is_newer", [("2.8.1", False), ("99.1", True), ("N-123-gabcdef", True), ("nonsense", True)]
)
def test_the_newer_binary_is_used(tmp_path, monkeypatch, system, is_newer):
    packaged = fake_ffmpeg(tmp_path / "own", "n9.0.2-17")
    fake_ffmpeg(tmp_path / "ffmpeg", system)
    monkeypatch.setenv("PATH", f"{tmp_path}{os.pathsep}{os.environ['PATH']}")
    monkeypatch.delenv("IMAGEIO_FFMPEG_EXE", raising=False)
    monkeypatch.setattr(ffmpeg.imageio_ffmpeg, "get_ffmpeg_exe", lambda: str(packaged))
    assert (ffmpeg.binary() == str(tmp_path / "ffmpeg")) == is_newer


@pytest.mark.parametrize("variable", ["EARSIGHT_FFMPEG", "IMAGEIO_FFMPEG_EXE"])
def test_the_user_s_choice_wins(tmp_path, monkeypatch, variable):
    monkeypatch.setenv(variable, str(fake_ffmpeg(tmp_path / "mine", "1.0")))
    assert ffmpeg.binary() == str(tmp_path / "mine")
    ffmpeg.binary.cache_clear()
    monkeypatch.setenv(variable, str(tmp_path / "missing"))
    with pytest.raises(UserError, match=f"{variable}.*missing"):
        ffmpeg.binary()


def test_no_binary(monkeypatch):
    def none():
        raise RuntimeError("no binary")

    monkeypatch.setenv("PATH", "")
    for variable in ("EARSIGHT_FFMPEG", "IMAGEIO_FFMPEG_EXE"):
        monkeypatch.delenv(variable, raising=False)
    monkeypatch.setattr(ffmpeg.imageio_ffmpeg, "get_ffmpeg_exe", none)
    with pytest.raises(UserError, match="install ffmpeg"):
        ffmpeg.binary()


def test_names_are_not_options_or_urls(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    assert ffmpeg.url("-i") == f"file:{tmp_path}/-i"
    assert ffmpeg.url("http:x") == f"file:{tmp_path}/http:x"
