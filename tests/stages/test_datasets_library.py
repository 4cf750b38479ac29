"""The snippets of docs/data.md read the shards with pyarrow, pandas and Hugging Face `datasets`."""

import os
import re
import subprocess
import sys
from pathlib import Path

import av
import numpy as np
import pytest

from pipeline.config import read
from pipeline.dataset import dataset
from pipeline.download import step as download
from pipeline.media import wav
from pipeline.media.wav import read_wav
from pipeline.store.formats import Layout
from pipeline.store.shards import Shards
from testing.project import ROOT, Project

SECTION = "\n## Read shards with pandas, pyarrow and Hugging Face\n"
TEXT = (ROOT / "docs/data.md").read_text(encoding="utf-8").partition(SECTION)[2]
SNIPPETS = re.findall(r"^```python\n(.+?)^```", TEXT, re.MULTILINE | re.DOTALL)
IMPORTS = "import pyarrow.parquet as pq\nimport numpy as np\n"  # as the page says of its snippets


def python(project: Project, home: Path, code: str) -> None:
    """Run code in the project, with caches of Hugging Face of its own, and without a network."""
    names = ("HF_HOME", "HF_DATASETS_CACHE", "HF_HUB_CACHE")
    env = os.environ | {name: str(home / name) for name in names} | {"OMP_NUM_THREADS": "1"}
    env |= {"HF_HUB_OFFLINE": "1", "HF_DATASETS_OFFLINE": "1", "HF_HUB_DISABLE_TELEMETRY": "1"}
    command = [sys.executable, "-c", code]
    process = subprocess.run(command, cwd=project.root, env=env, capture_output=True, text=True, timeout=120)
    assert process.returncode == 0, process.stderr[-3000:]


@pytest.fixture(scope="module")
def snippet_results(finished_project, tmp_path_factory) -> dict[str, np.ndarray]:
    """Run the snippets of the page in order; return the arrays that they read, for every row."""
    home = tmp_path_factory.mktemp("huggingface")
    ends = f"""
sounds = [soundfile.read(io.BytesIO(row["audio"]["bytes"]), dtype="int16")[0] for row in wav]
spectrograms = load_dataset("parquet", data_files="data/spectrogram/index.parquet", split="train")
{SNIPPETS[-1].partition("frames = load_dataset")[0].replace("data/frames", "data/spectrogram")}
spectrograms = spectrograms.filter(lambda row: row["status"] == "ok").with_transform(values)
np.savez(
    {str(home / "found.npz")!r},
    names=names["clip_id"].to_pylist(),
    first=first["clip_id"].tolist(),
    index=index["clip_id"].tolist(),
    sides=index["split"].fillna("").tolist(),
    wav=wav["clip_id"][:],
    samples=samples,
    rate=rate,
    lengths=[len(s) for s in sounds],
    sounds=np.concatenate(sounds),
    media=media["clip_id"][:],
    video=np.frombuffer(file["bytes"], np.uint8),
    picture=picture,
    frames_of=frames["clip_id"][:],
    frames=np.stack([row["frames"] for row in frames]),
    pictures=pictures,
    spectrograms_of=spectrograms["clip_id"][:],
    spectrograms=np.stack([row["frames"] for row in spectrograms]),
)
"""
    python(finished_project, home, IMPORTS + "\n".join(SNIPPETS) + ends)
    assert not [p for p in (finished_project / "data").rglob("*") if p.suffix in (".lock", ".arrow")]
    with np.load(home / "found.npz") as arrays:
        return dict(arrays)


def ok_rows(project: Project, stage: str) -> list[dict]:
    return [row for row in project.rows(f"{stage}/index.parquet") if row["status"] == "ok"]


def test_the_snippets_read_only_shards(finished_project, snippet_results):
    """The snippets read as many rows as are ok, in their order: no index is read as a shard."""
    clip_ids = [row["clip_id"] for row in ok_rows(finished_project, "wav")]
    assert len(clip_ids) < len(finished_project.rows("clips.parquet"))  # some clips are not ok
    assert snippet_results["wav"].tolist() == snippet_results["names"].tolist() == clip_ids
    assert snippet_results["first"].tolist() == [
        row["clip_id"] for row in ok_rows(finished_project, "wav") if row["shard"] == 0
    ]
    assert snippet_results["media"].tolist() == [row["clip_id"] for row in ok_rows(finished_project, "media")]
    splits = {row["clip_id"]: row["split"] or "" for row in finished_project.rows("splits.parquet")}
    assert (
        dict(zip(snippet_results["index"].tolist(), snippet_results["sides"].tolist(), strict=True)) == splits
    )


def read_shard(layout: Layout, shard: int) -> dict:
    shards = Shards.from_layout(layout)
    return shards.read_values(shards.read_shard_index(shards.index_path(shard)))


def test_the_snippets_read_the_sounds_of_the_pipeline(finished_project, snippet_results, monkeypatch):
    monkeypatch.chdir(finished_project.root)
    stored = [
        read_shard(wav.LAYOUT, shard)
        for shard in sorted({row["shard"] for row in ok_rows(finished_project, "wav")})
    ]
    content = {clip: value for shard in stored for clip, value in shard.items()}
    sounds = np.split(snippet_results["sounds"], np.cumsum(snippet_results["lengths"])[:-1])
    assert len(sounds) == len(snippet_results["wav"])
    for clip, sound in zip(snippet_results["wav"].tolist(), sounds, strict=True):
        samples, rate = read_wav(content[clip])
        assert rate == snippet_results["rate"] and np.array_equal(sound, samples)
    assert (
        np.array_equal(snippet_results["samples"], sounds[0]) and snippet_results["samples"].dtype == np.int16
    )
    assert any(np.abs(sound).max() > 1000 for sound in sounds)


def test_the_snippets_read_the_videos_of_the_pipeline(
    finished_project, snippet_results, monkeypatch, tmp_path
):
    monkeypatch.chdir(finished_project.root)
    content = read_shard(download.LAYOUT, 0)[snippet_results["media"][0]]["video"]["bytes"]
    assert snippet_results["video"].tobytes() == content
    (tmp_path / "a.flv").write_bytes(content)
    with av.open(str(tmp_path / "a.flv")) as video:
        frame = next(video.decode(video=0)).to_ndarray(format="rgb24")
    assert np.array_equal(snippet_results["picture"], frame) and frame.std() > 5


def test_the_snippets_read_the_arrays_of_training(finished_project, snippet_results):
    params = read(finished_project / "params.yaml")
    data = dataset.load(finished_project / "data", params.audio, params.video)
    for name, stored in (("frames", data.video), ("spectrograms", data.audio)):
        values = dict(zip(snippet_results[f"{name}_of"].tolist(), snippet_results[name], strict=True))
        assert (
            snippet_results[name].dtype == stored.dtype
            and snippet_results[name].shape[1:] == stored.shape[1:]
        )
        assert len(values) >= len(data) > 0
        for number, clip in enumerate(data.clip_id):
            assert np.array_equal(values[clip], stored[number])
    assert np.array_equal(snippet_results["pictures"], snippet_results["frames"][0])


def test_datasets_decodes_the_columns_with_torchcodec(finished_project, snippet_results, tmp_path):
    try:
        import torchcodec  # noqa: F401
    except (ImportError, OSError, RuntimeError) as e:
        pytest.skip(f"torchcodec with FFmpeg's libraries is not here: {str(e).strip().splitlines()[0]}")
    code = f"""
import numpy as np
from datasets import Audio, load_dataset

wav = load_dataset("parquet", data_files="data/wav/[0-9]*[0-9].parquet", split="train")
media = load_dataset("parquet", data_files="data/media/[0-9]*[0-9].parquet", split="train")
sound = wav[0]["audio"].get_all_samples()
video = media.cast_column("audio", Audio(decode=False))[0]["video"]
np.savez({str(tmp_path / "found.npz")!r}, sound=sound.data[0], rate=sound.sample_rate, picture=video[0])
"""
    python(finished_project, tmp_path, code)
    with np.load(tmp_path / "found.npz") as arrays:
        assert arrays["rate"] == snippet_results["rate"]
        assert np.abs(arrays["sound"] * 32768 - snippet_results["samples"]).max() <= 1
        assert arrays["picture"].shape == snippet_results["picture"].transpose(2, 0, 1).shape
        assert (
            np.abs(arrays["picture"].transpose(1, 2, 0).astype(int) - snippet_results["picture"]).mean() < 4
        )
