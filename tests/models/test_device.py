"""Where a model computes, in which precision, in batches that fit. The GPU is one that computes nothing."""

import gc
import json
from itertools import zip_longest
from pathlib import Path

import numpy as np
import pytest
import torch

from models import device
from models.audio import encoders as audio_encoders
from models.device import BatchSize
from models.parts.towers import Towers
from models.video import encoders as video_encoders
from pipeline.dataset.windows import Segments
from pipeline.errors import UserError
from testing import fake_gpu, toy
from testing.preloaded_process import PreloadedProcess
from testing.untrained import build_untrained_model

AUDIO, VIDEO = (1, 16, 20), (1, 32, 32, 3)
CAV = {"patch": 8, "width": 32, "heads": 2, "layers": 1, "decoder_width": 16, "decoder_heads": 2}
PRETRAINING = {"task": "pretraining", "encoder": "cav_mae", "sizes": {"joint": CAV}}
JOINT_CLASSES = {"task": "classification", "encoder": "cav_mae", "sizes": {"joint": CAV}}
HUB = "timm/test_resnet"
# An encoder of sound and one of pictures in each model. `cached` reads features of networks, not windows.
AUDIO_ENCODERS = [name for name in (*audio_encoders.names(), HUB) if name != "cached"]
VIDEO_ENCODERS = [name for name in (*video_encoders.names(), HUB) if name not in ("cached", "avolnet")]
KINDS = {
    f"{audio} {video}": {"audio_encoder": audio, "video_encoder": video}
    for audio, video in zip_longest(AUDIO_ENCODERS, VIDEO_ENCODERS, fillvalue="shallow")
}
KINDS["avolnet"] = {"video_encoder": "avolnet", "matcher": "localize", "loss": "bce"}
KINDS |= {
    f"classes {name}": {
        "task": "classification",
        "classification": toy.PARAMS.classification.model_dump() | {"fusion": name},
    }
    for name in ("concat", "stack")
}
KINDS["classes joint"] = JOINT_CLASSES


def out_of_memory():
    return torch.cuda.OutOfMemoryError("CUDA out of memory. Tried to allocate 2.00 GiB.")


def test_the_device_is_a_gpu_if_there_is_one(monkeypatch):
    for has_gpu, expected in ((False, "cpu"), (True, "cuda")):
        monkeypatch.setattr(torch.cuda, "is_available", lambda has_gpu=has_gpu: has_gpu)
        assert device.choose_device() == expected
        assert device.choose_device("cpu") == "cpu"
    assert device.choose_device("cuda") == "cuda"
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    for name in ("cuda", "tpu"):
        with pytest.raises(UserError, match=f"device: {name}: [^\n]+$"):
            device.choose_device(name)


def test_the_precision_is_that_of_the_training_on_a_gpu_and_single_on_a_cpu(monkeypatch):
    bf16, fp16 = torch.bfloat16, torch.float16
    for is_fast, types in ((True, (bf16, bf16, fp16, None)), (False, (None, None, fp16, None))):
        monkeypatch.setattr(torch.cuda, "is_bf16_supported", lambda including_emulation, x=is_fast: x)
        names = ("auto", "bf16-mixed", "16-mixed", "32-true")
        assert tuple(device.mixed_type("cuda", name) for name in names) == types
        assert not any(device.mixed_type("cpu", name) for name in names)


def test_batches_are_halved_until_they_fit_and_a_line_says_so_once(capsys):
    sizes = []

    def compute(items: slice) -> list[int]:
        sizes.append(items.stop - items.start)
        if sizes[-1] > 10:
            raise out_of_memory()
        return list(range(100))[items]

    batch_size = BatchSize(64)
    for _ in range(2):
        assert sum(batch_size.map(compute, 50), []) == list(range(50))
    assert batch_size.size == 6 and sizes == [50, 25, 12] + ([6] * 8 + [2]) * 2
    out, err = capsys.readouterr()
    assert out == f"GPU: too little memory for 50 windows at a time: continues with {batch_size.size}\n"
    assert not err


def test_too_little_memory_for_one_window_is_one_line():
    def compute(items: slice) -> None:
        raise out_of_memory()

    with pytest.raises(UserError, match="too little memory for one clip at a time: [^\n]+$"):
        list(BatchSize(64, "clip").map(compute, 3))
    assert list(BatchSize(64).map(compute, 0)) == []


def test_what_did_not_fit_is_freed_before_the_next_try():
    alive = []

    def compute(items: slice) -> int:
        gc.collect()
        alive.append(sum(isinstance(x, Large) for x in gc.get_objects()))
        large = Large()  # noqa: F841  # as the tensors of a network
        if items.stop - items.start > 1:
            raise out_of_memory()
        return items.start

    assert list(BatchSize(8).map(compute, 4)) == [0, 1, 2, 3]
    assert not any(alive)


class Large:
    pass


def test_a_model_that_does_not_fit_is_one_line(monkeypatch):
    class Network(torch.nn.Module):
        def to(self, *args):
            raise out_of_memory()

    with pytest.raises(UserError, match="GPU: too little memory for the model: [^\n]+$"):
        device.move(Network(), "cuda")


def test_a_model_embeds_in_smaller_batches(data, monkeypatch, capsys):
    model = build_untrained_model(data.audio_shape, data.video_shape)
    clips = np.arange(len(data))
    before = model.embed(data, clips), model.embed_audio(data.read(clips)[0])
    for name in ("embed_pair", "embed_audio"):
        limit_batches(monkeypatch, model.module, name, 20)
    after = model.embed(data, clips), model.embed_audio(data.read(clips)[0])
    for one, other in ((before[0][0], after[0][0]), (before[0][1], after[0][1]), (before[1], after[1])):
        assert one.shape == other.shape and np.abs(one - other).max() < 1e-5
    assert capsys.readouterr().out.count("continues with") == 1
    limit_batches(monkeypatch, model.module, "embed_pair", 0)
    with pytest.raises(UserError, match="one window at a time"):
        model.embed(data, clips)


def test_a_model_classifies_in_smaller_batches(data, monkeypatch):
    model = build_untrained_model(data.audio_shape, data.video_shape, task="classification")
    clips = np.arange(len(data))
    before = model.logits(data, clips)
    limit_batches(monkeypatch, model.module, "forward", 20)
    assert np.abs(model.logits(data, clips) - before).max() < 1e-5
    assert model.logits(data, clips[:0]).shape == (0, 3)


def limit_batches(monkeypatch, module, name: str, limit: int) -> None:
    """Have a method of a module run out of memory if a batch has more than `limit` windows."""
    method = getattr(type(module), name).__get__(module)

    def compute(*inputs, **options):
        if len(inputs[0]) > limit:
            raise out_of_memory()
        return method(*inputs, **options)

    monkeypatch.setattr(module, name, compute)


@pytest.mark.filterwarnings("ignore:Accessing the data pointer of FakeTensor")
@pytest.mark.parametrize("kind", KINDS)
def test_a_network_on_a_gpu_computes_there(kind):
    model = build_untrained_model(AUDIO, VIDEO, **KINDS[kind])
    module = model.module
    model.device = "cuda"
    has_mixed = "lstm" not in kind  # a fake GPU has no cuDNN, whose LSTM mixed precision uses
    with fake_gpu.fake_gpu(module), fake_gpu.autocast(torch.bfloat16 if has_mixed else torch.float32):
        audio, video = torch.zeros(4, *AUDIO).half(), torch.zeros(4, *VIDEO, dtype=torch.uint8)
        embeddings = model.compute(module.embed_pair, audio, video)
        outputs = [*embeddings]
        if module.classes:
            outputs.append(model.compute(module, audio, video))
        else:
            outputs.append(module.score(*embeddings))
    assert {output.device.type for output in outputs} == {"cuda"}
    assert all(embedding.dtype == torch.float32 for embedding in embeddings)


def test_reconstruction_on_a_gpu_computes_there():
    model = build_untrained_model(AUDIO, VIDEO, **PRETRAINING)
    module = model.module
    model.device = "cuda"
    with fake_gpu.fake_gpu(module), fake_gpu.autocast(torch.bfloat16):
        windows = torch.zeros(4, *AUDIO).half(), torch.zeros(4, *VIDEO, dtype=torch.uint8)
        visible, masked = module.draw_masks(4)
        predictions = module.reconstruct(*(x.to("cuda") for x in windows), visible, masked)
        target = module.select_targets("audio", windows[0].to("cuda"), masked["audio"])
    assert {x.device.type for x in (*predictions.values(), target)} == {"cuda"}


def test_towers_compute_in_single_precision(monkeypatch):
    segments = Segments(columns=10, hop_columns=5)
    towers = Towers(audio_encoders, {"timm/test_resnet": {}}, AUDIO, segments)
    vectors = []
    compute_features = towers.encoders[0].compute_features

    def compute_and_store(x):
        vectors.append(compute_features(x))
        return vectors[-1]

    monkeypatch.setattr(towers.encoders[0], "compute_features", compute_and_store)
    with fake_gpu.fake_gpu(towers), fake_gpu.autocast(torch.bfloat16):
        features = towers(torch.zeros(4, *AUDIO).to("cuda"))
    assert features.device.type == "cuda" and features.shape[:2] == (4, 3)
    assert [x.dtype for x in vectors] == [torch.float32]


def test_the_benchmark_of_a_gpu_runs_on_a_cpu_with_small_sizes():
    folder = Path(__file__).resolve().parents[2]
    results = folder / "benchmarks/results/gpu.json"
    before = results.exists() and results.stat().st_mtime_ns
    environment = {"CUDA_VISIBLE_DEVICES": ""}
    small, full = (
        PreloadedProcess(folder, ["benchmarks.gpu", *words], environment) for words in (["--small"], [])
    )
    out, err = small.communicate(timeout=120)
    assert small.returncode == 0, err
    measured = json.loads(out[out.index("{\n") :])
    assert not measured["left_out"] and measured["gpu"] is None
    assert [len(measured[part]) for part in ("training", "embedding", "towers")] == [3, 3, 1]
    out, err = full.communicate(timeout=120)
    assert full.returncode == 1 and not out
    assert err.startswith("ERROR: gpu: PyTorch finds no GPU: ") and err.count("\n") == 1
    assert before == (results.exists() and results.stat().st_mtime_ns)


def test_single_precision_inside_mixed_precision():
    layer, x = torch.nn.Linear(4, 3), torch.zeros(2, 4)
    with torch.autocast("cpu", torch.bfloat16):
        assert layer(x).dtype == torch.bfloat16
        with device.single_precision("cpu"):
            assert layer(x).dtype == torch.float32
    with device.mixed_precision("cpu", None):
        assert layer(x).dtype == torch.float32
