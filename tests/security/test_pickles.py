"""Arrays, models and indexes are never unpickled."""

import pickle
import struct

import faiss
import numpy as np
import pytest
import torch

from earsight import load
from models import checkpoint
from models.inference import vector_index
from models.inference.search import Library
from models.sharing import cav_mae_checkpoint
from models.training.recorder import resumable_precision
from pipeline.errors import UserError
from pipeline.store.formats import Arrays
from testing.untrained import build_untrained_model
from tests.security.attempts import LINUX, Canary, record_opened_files


def test_no_array_is_unpickled(tmp_path, canary):
    np.save(tmp_path / "00000.npy", np.array([Canary(canary)], dtype=object), allow_pickle=True)
    with pytest.raises(ValueError, match="Python objects"):
        Arrays((2, 3), "float16").read(tmp_path / "00000.npy")
    (tmp_path / "00001.npy").write_bytes(pickle.dumps(Canary(canary)))
    with pytest.raises(ValueError, match="pickled|allow_pickle"):
        Arrays((2, 3), "float16").read(tmp_path / "00001.npy")


@pytest.mark.parametrize(
    "write", [torch.save, lambda o, p: p.write_bytes(pickle.dumps(o))], ids=["zip", "pickle"]
)
def test_no_model_is_unpickled(tmp_path, canary, write):
    hostile = {"state_dict": Canary(canary), "callbacks": Canary(canary)}
    model = build_untrained_model(video_encoder="shallow")
    checkpoint.save(tmp_path, model.module, model.config)
    write(hostile, tmp_path / "model.safetensors")
    for load_function in (checkpoint.load, load):
        with pytest.raises(UserError, match="not a model"):
            load_function(tmp_path)
    write(hostile, tmp_path / "x.ckpt")
    assert resumable_precision(tmp_path / "x.ckpt", "x", "train") is None
    assert not (tmp_path / "x.ckpt").exists()
    for name in ("model.pth", "model.safetensors"):
        write(hostile, tmp_path / name)
        with pytest.raises(UserError, match="not a file of weights"):
            cav_mae_checkpoint.read_weights(tmp_path / name)


def test_an_index_that_is_not_faiss_data_is_refused(tmp_path, canary):
    points = np.random.default_rng(0).normal(size=(10_000, 8)).astype(np.float32)
    points /= np.linalg.norm(points, axis=1, keepdims=True)
    path = tmp_path / "audio.faiss"
    vector_index.save(vector_index.build(points, "flat"), path)
    index_content = path.read_bytes()
    huge = index_content[:4] + struct.pack("<iq", 8, 1 << 50) + index_content[16:]
    for content in (
        pickle.dumps(Canary(canary)),
        huge,
        index_content[:100],
        b"",
        b"IwPQ",
        b"IHNf",
        b"IxPT" + index_content[4:],
    ):
        path.write_bytes(content)
        with pytest.raises(UserError, match="cannot be read"):
            vector_index.load(path, points)


@LINUX
def test_no_index_opens_another_file(tmp_path):
    """FAISS can keep a part of an index in a file that the index names."""
    points = np.random.default_rng(0).normal(size=(10_000, 8)).astype(np.float32)
    (tmp_path / "secret").mkdir()
    index = vector_index.build(points, "ivf_pq")
    vector_index.save(index, tmp_path / "good.faiss")
    assert vector_index.load(tmp_path / "good.faiss", points).search(points[:1], 3)[0].shape == (1, 3)
    disk_lists = faiss.OnDiskInvertedLists(index.nlist, index.code_size, str(tmp_path / "secret/lists"))
    for number in range(index.nlist):
        lists = index.invlists
        size = lists.list_size(number)
        disk_lists.add_entries(number, size, lists.get_ids(number), lists.get_codes(number))
    index.replace_invlists(disk_lists, False)
    vector_index.save(index, tmp_path / "named.faiss")
    graph = faiss.IndexHNSWFlat(8, 4, faiss.METRIC_INNER_PRODUCT)  # an index within an index
    inner = (tmp_path / "named.faiss").read_bytes()
    graph.add(points[:100])
    vector_index.save(graph, tmp_path / "graph.faiss")
    content = (tmp_path / "graph.faiss").read_bytes()
    (tmp_path / "graph.faiss").write_bytes(content[: content.index(b"IxFI")] + inner)
    for name in ("named", "graph"):
        with (
            record_opened_files(tmp_path / "secret") as opened_files,
            pytest.raises(UserError, match="refers to another file"),
        ):
            vector_index.load(tmp_path / f"{name}.faiss", points)
        assert not opened_files


def test_no_embeddings_are_unpickled(tmp_path, canary):
    model = build_untrained_model(video_encoder="shallow")
    folder = tmp_path / "data/embeddings"
    folder.mkdir(parents=True)
    import pyarrow as pa
    import pyarrow.parquet as pq

    pq.write_table(pa.table({"clip_id": ["a"]}), folder / "clips.parquet")
    for side in ("audio", "video"):
        np.save(folder / f"{side}.npy", np.array([Canary(canary)], dtype=object), allow_pickle=True)
    with pytest.raises(UserError, match="embeddings cannot be read"):
        Library.open(tmp_path, model)
