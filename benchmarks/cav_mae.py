"""What does a pretraining step of CAV-MAE cost, beside the plain way to write it?

`python -m benchmarks.cav_mae` takes steps (forward, backward, AdamW) at `tiny`, and at `base` as published:
ours in the precision that `auto` is here, ours in single precision, and benchmarks/cav_mae_plain.py, which
has the same network and loss as published code writes them; at `base` ours with gradient checkpointing too.
Samples per second, the peak memory of a process that does nothing else, multiply-adds, and the share of what
this machine reaches in a large matrix product. Where there is a GPU, `base` in bfloat16 there as well. Prints
a table, keeps it in benchmarks/results/cav_mae.json. Linux only.
"""

import argparse
import copy
import json
import os
import statistics
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import torch
from torch import Tensor
from torch.nn.attention import SDPBackend, sdpa_kernel
from torch.utils.flop_counter import FlopCounterMode

from benchmarks import result_files
from benchmarks.cav_mae_plain import Plain, prepare
from models import checkpoint
from models.joint.cav_mae import SIDES
from models.training.precision import BF16_INSTRUCTIONS, lightning_precision
from pipeline.config import ROOT, read

SHAPES = {"tiny": ((1, 64, 100), (1, 112, 112, 3)), "base": ((1, 128, 1024), (1, 224, 224, 3))}
BATCH = {"tiny": 64, "base": 4}
ROUNDS = {"tiny": 25, "base": 5}  # timed steps of each variant
WARM_UP = {"tiny": 3, "base": 1}
# The plain way: as published. What else params.yaml has does not matter to a step.
PUBLISHED = {
    "mask_ratio": 0.75,
    "mask": "random",
    "reconstruction": 1.0,
    "contrastive": 0.01,
    "normalize_patches": True,
    "temperature": 0.05,
    "both_ways": False,
}
STATISTICS = {"mean": -5.081, "std": 4.4849}
TOLERANCE = 1e-3  # between the loss of ours and of the plain way
VARIANTS = {
    "tiny": ("ours", "ours_float32", "plain"),
    "base": ("ours", "ours_float32", "plain", "ours_checkpointing"),
}
AUTO = ("ours", "ours_checkpointing")  # in the precision that `auto` is
GPU_BATCHES = (48, 96, 192)
GPU_VARIANTS = ("ours", "ours_checkpointing", "plain")
BUSY = 0.5  # load average from which it warns
CLIPS, EPOCHS = 1_800_000, 25  # AudioSet-2M, as published
COUNTED = (
    "a step: stored windows (float16, uint8) to updated weights, the drawing of masks included; the plain way"
    " normalises whole inputs on the host in it. samples_per_second: median of interleaved steps;"
    " ratio_to_plain: median of the ratios within a round. peak_mb: the largest resident set of a process of"
    " its own; step_mb: what that is beyond the same process with model and data only. gmacs: billions of"
    " multiply-adds of one sample. peak_share: those that ours needs for a step, over the most that matrix"
    " products reach in the variant's precision; what is computed beyond them (patches that are not needed,"
    " checkpointing) counts as nothing"
)
COUNTED_GPU = (
    "bfloat16 autocast. The copy of pinned inputs is included; the plain way's are normalised beforehand, as"
    " by workers of a loader. memory_mb: the most that tensors took, max_memory_allocated"
)


# --- a step -----------------------------------------------------------------------------------------


def built(size: str) -> torch.nn.Module:
    params = read().pretraining
    torch.manual_seed(0)
    shapes = SHAPES[size]
    module = checkpoint.build(
        {
            "task": "pretraining",
            "encoder": "cav_mae",
            "encoders": {"joint": {"size": size}},
            "pretraining": params.model_dump(exclude={"train", "augment"}) | PUBLISHED,
            "train": params.train.model_dump(),
            "audio_shape": list(shapes[0]),
            "video_shape": list(shapes[1]),
            "statistics": STATISTICS,
        }
    )
    module.steps = 1000
    with torch.no_grad():  # fresh norms are all alike, and would hide it if the plain way took a wrong one
        for weights in module.parameters():
            if weights.ndim == 1:
                weights.add_(torch.randn_like(weights), alpha=0.1)
    return module


def data(size: str, batch: int) -> tuple[Tensor, Tensor]:
    """Windows as shards have them."""
    generator = torch.Generator().manual_seed(0)
    audio, video = SHAPES[size]
    sound = torch.randn(batch, *audio, generator=generator) * STATISTICS["std"] + STATISTICS["mean"]
    return sound.half(), torch.randint(0, 256, (batch, *video), dtype=torch.uint8, generator=generator)


def plain_inputs(module: torch.nn.Module, audio: Tensor, video: Tensor) -> dict[str, Tensor]:
    """Of whole patches: the columns beyond the last one are cut off."""
    rows, columns = (n * module.encoder.patch for n in module.encoder.grid["audio"])
    return prepare(audio[:, :, :rows, :columns], video, STATISTICS["mean"], STATISTICS["std"])


def optimizer(module: torch.nn.Module, plain: Plain | None = None) -> torch.optim.Optimizer:
    """Of `module`, or of `plain` where it is there, AdamW with the same constants."""
    result = module.configure_optimizers()["optimizer"]
    if plain:
        group = result.param_groups[0]
        trained = [p for p in plain.parameters() if p.requires_grad]
        result = torch.optim.AdamW(trained, lr=group["lr"], betas=group["betas"])
    return result


def stepper(
    variant: str,
    windows: tuple[Tensor, Tensor],
    module: torch.nn.Module,
    optimizer: torch.optim.Optimizer,
    plain: Plain | None = None,
) -> Callable[[], None]:
    """A function that takes one step: of `plain`, or without it of `module`, which draws both their masks."""
    device, count = module.device, len(windows[0])
    same = torch.eye(count, dtype=torch.bool, device=device)
    mixed = device.type != "cpu" or variant in AUTO and lightning_precision("auto") == "bf16-mixed"

    def inputs() -> dict[str, Tensor]:
        return plain_inputs(module, *windows) if plain else dict(zip(SIDES, windows, strict=True))

    pinned = None if device.type == "cpu" else {side: x.pin_memory() for side, x in inputs().items()}

    def loss() -> Tensor:
        batch_inputs = (
            {side: x.to(device, non_blocking=True) for side, x in pinned.items()} if pinned else inputs()
        )
        orders = module.draw_masks(count)
        if plain:
            return plain(batch_inputs, *orders)["loss"]
        return module.loss_terms(*batch_inputs.values(), same, *orders)["loss"]

    def step() -> None:
        for part in (module.encoder, module.decoder):
            part.gradient_checkpointing = variant == "ours_checkpointing"
        with torch.autocast(device.type, torch.bfloat16, enabled=mixed):
            value = loss()
        optimizer.zero_grad()
        value.backward()
        optimizer.step()

    return step


def seconds(step: Callable[[], None]) -> float:
    began = time.perf_counter()
    step()
    if torch.cuda.is_available():
        torch.cuda.synchronize()
    return time.perf_counter() - began


def matmul(dtype: torch.dtype, sides: tuple[int, ...], device: str = "cpu", repeats: int = 5) -> float:
    """The most multiply-adds a second that a matrix product reaches."""
    best = 0.0
    for side in sides:
        a, b = (torch.randn(side, side, device=device).to(dtype) for _ in range(2))
        out = torch.empty_like(a)
        times = [seconds(lambda a=a, b=b, out=out: torch.mm(a, b, out=out)) for _ in range(1 + repeats)]
        best = max(best, side**3 / min(times[1:]))
    return best


# --- measurements, each in a process of its own -----------------------------------------------------


def difference(module: torch.nn.Module, plain: Plain, windows: tuple[Tensor, Tensor]) -> float:
    """Between ours in single precision and the plain way, for equal weights and masks: of the loss, or of
    its contrastive part where that is larger."""
    count = len(windows[0])
    orders = module.draw_masks(count, torch.Generator().manual_seed(0))
    with torch.no_grad():
        ours = module.loss_terms(*windows, torch.eye(count, dtype=torch.bool), *orders)
        theirs = plain(plain_inputs(module, *windows), *orders)
    largest = max(abs(ours[name] - theirs[name]).item() for name in ("loss", "contrastive"))
    assert largest < TOLERANCE, f"the plain way is another network: {ours}, {theirs}"
    return largest


def multiply_adds(module: torch.nn.Module, windows: tuple[Tensor, Tensor]) -> tuple[int, int]:
    """Of one sample: the forward pass, and with the backward pass."""
    macs_by_pass = []
    for backward in (False, True):
        # What is fused is counted by parts: its backward pass computes some of the forward pass again.
        with FlopCounterMode(display=False) as counted, sdpa_kernel(SDPBackend.MATH):
            inputs = (x[:1] for x in windows)
            same = torch.ones(1, 1, dtype=torch.bool)
            loss = module.loss_terms(*inputs, same, *module.draw_masks(1))["loss"]
            if backward:
                loss.backward()
        macs_by_pass.append(counted.get_total_flops() // 2)
    module.zero_grad()
    return macs_by_pass[0], macs_by_pass[1]


def speed(size: str) -> dict:
    module, windows = built(size), data(size, BATCH[size])
    plain = Plain(copy.deepcopy(module))
    apart = difference(module, plain, windows)
    forward, both = multiply_adds(module, windows)
    ours, theirs = optimizer(module), optimizer(module, plain)
    steps = {v: stepper(v, windows, module, ours) for v in VARIANTS[size]}
    steps["plain"] = stepper("plain", windows, module, theirs, plain)
    times: dict[str, list[float]] = {variant: [] for variant in steps}
    for number in range(WARM_UP[size] + ROUNDS[size]):
        for variant, step in steps.items():  # in turn, so that what disturbs one disturbs all
            took = seconds(step)
            if number >= WARM_UP[size]:
                times[variant].append(took)
    pairs = {v: [p / t for t, p in zip(times[v], times["plain"], strict=True)] for v in times}
    rates = {variant: BATCH[size] / statistics.median(took) for variant, took in times.items()}
    return {
        "parameters": sum(p.numel() for p in module.parameters()),
        "loss_differs_by": apart,
        "macs_forward": forward,
        "macs_step": both,
        "samples_per_second": rates,
        "ratio_to_plain": {v: statistics.median(ratios) for v, ratios in pairs.items()},
    }


def memory(size: str, variant: str) -> dict:
    """Bytes: the peak of this process, before the first step and after three."""

    def peak() -> int:  # not ru_maxrss, which begins with what the parent had
        status = Path("/proc/self/status").read_text()
        return 1024 * int(next(x for x in status.splitlines() if x.startswith("VmHWM")).split()[1])

    module, windows = built(size), data(size, BATCH[size])
    plain = Plain(module) if variant == "plain" else None
    step = stepper(variant, windows, module, optimizer(module, plain), plain)
    before = peak()
    for _ in range(3):  # the first makes the optimizer's state
        step()
    return {"before": before, "peak": peak()}


def limit() -> dict:
    kinds = {"float32": torch.float32}
    if lightning_precision("auto") == "bf16-mixed":
        kinds["bfloat16"] = torch.bfloat16
    sides = (2048, 4096)
    return {name: matmul(dtype, sides) for name, dtype in kinds.items()}


def gpu(size: str = "base", batches: tuple[int, ...] = GPU_BATCHES, device: str = "cuda") -> dict:
    limit = matmul(torch.bfloat16, (8192, 16384), device, repeats=20)
    _, macs = multiply_adds(built(size), data(size, 1))
    rows = []
    for batch in batches:
        for variant in GPU_VARIANTS:
            rows.append(
                {"batch": batch, "variant": variant} | _gpu(size, batch, variant, device, macs / limit)
            )
            torch.cuda.empty_cache()
    return {
        "card": torch.cuda.get_device_name(),
        "peak_matmul_tmacs_bfloat16": limit / 1e12,
        "rows": rows,
        "counted": COUNTED_GPU,
    }


def _gpu(size: str, batch: int, variant: str, device: str, seconds_at_peak: float) -> dict:
    try:
        module, windows = built(size).to(device), data(size, batch)
        plain = Plain(module) if variant == "plain" else None
        torch.cuda.reset_peak_memory_stats()
        step = stepper(variant, windows, module, optimizer(module, plain), plain)
        times = [seconds(step) for _ in range(15)]
    except torch.OutOfMemoryError:
        return {"samples_per_second": None, "why": "out of memory"}
    rate = batch / statistics.median(times[5:])
    return {
        "samples_per_second": rate,
        "memory_mb": torch.cuda.max_memory_allocated() / 1e6,
        "peak_share": rate * seconds_at_peak,
        "hours_audioset_2m": hours(rate),
    }


def hours(rate: float) -> float:
    """Of EPOCHS over CLIPS at so many samples a second."""
    return EPOCHS * CLIPS / rate / 3600


PARTS = {"speed": speed, "memory": memory, "limit": limit, "gpu": gpu}


def apart(part: str, *words: str, card: bool = False) -> dict:
    """One of PARTS in a process of its own, which sees no GPU unless `card`: `auto` then means the CPU."""
    command = [sys.executable, "-m", "benchmarks.cav_mae", "--part", part, *words]
    environment = os.environ | ({} if card else {"CUDA_VISIBLE_DEVICES": ""})
    done = subprocess.run(command, cwd=ROOT, env=environment, stdout=subprocess.PIPE, text=True, check=True)
    return json.loads(done.stdout.splitlines()[-1])


# --- the whole --------------------------------------------------------------------------------------


def measure() -> dict:
    load = os.getloadavg()[0]
    if load > BUSY:  # threads wait for each other at every operation: two on one core take many times as long
        print(f"cav_mae: {load:.1f} processes run here already: the times will mean little", file=sys.stderr)
    peak = apart("limit")
    results: dict = {
        "torch": torch.__version__,
        "threads": torch.get_num_threads(),
        "load_average_before": round(load, 2),
        "bfloat16": "bfloat16" in peak,
        "bfloat16_instructions": [
            name for name in BF16_INSTRUCTIONS if torch.cpu.get_capabilities().get(name)
        ],
        "peak_matmul_gmacs": {name: rounded(value / 1e9) for name, value in peak.items()},
    }
    for size in SHAPES:
        print(f"cav_mae: {size}", file=sys.stderr, flush=True)
        its = apart("speed", size)
        used = {variant: apart("memory", size, variant) for variant in VARIANTS[size]}
        rates = its["samples_per_second"]
        share = {
            v: its["macs_step"] * rate / peak["bfloat16" if results["bfloat16"] and v in AUTO else "float32"]
            for v, rate in rates.items()
        }
        step = {v: m["peak"] - m["before"] for v, m in used.items()}
        results[size] = {
            "batch": BATCH[size],
            "audio_shape": list(SHAPES[size][0]),
            "video_shape": list(SHAPES[size][1]),
            "parameters": its["parameters"],
            "loss_differs_by": float(f"{its['loss_differs_by']:.1e}"),
            "gmacs_forward": rounded(its["macs_forward"] / 1e9),
            "gmacs_step": rounded(its["macs_step"] / 1e9),
            "samples_per_second": {v: rounded(rate) for v, rate in rates.items()},
            "ratio_to_plain": {v: rounded(ratio) for v, ratio in its["ratio_to_plain"].items()},
            "peak_share": {v: rounded(x) for v, x in share.items()},
            "peak_mb": {v: round(m["peak"] / 1e6) for v, m in used.items()},
            "step_mb": {v: round(m / 1e6) for v, m in step.items()},
            "step_memory_to_plain": {v: rounded(m / step["plain"]) for v, m in step.items()},
        }
    rates = results["base"]["samples_per_second"]
    results["hours_25_epochs_audioset_2m"] = {v: round(hours(rate)) for v, rate in rates.items()}
    if torch.cuda.is_available():
        print("cav_mae: GPU", file=sys.stderr, flush=True)
        results["gpu"] = round_floats(apart("gpu", card=True))
    else:
        results |= {"gpu": None, "gpu_why": "torch.cuda.is_available() is False on this machine"}
    return results | {"counted": COUNTED}


def rounded(value: float) -> float:
    """To three digits."""
    return float(f"{value:.3g}")


def round_floats(value):
    if isinstance(value, dict):
        return {name: round_floats(item) for name, item in value.items()}
    if isinstance(value, list):
        return [round_floats(item) for item in value]
    return rounded(value) if isinstance(value, float) else value


def table(results: dict) -> str:
    peak = ", ".join(f"{name} {value:,.0f}" for name, value in results["peak_matmul_gmacs"].items())
    lines = [
        f"a matrix product reaches {peak} billion multiply-adds a second, {results['threads']} threads",
        "",
        " " * 27 + " samples/s  to plain  of peak   peak MB   step MB  to plain",
    ]
    for size in SHAPES:
        its = results[size]
        for v in VARIANTS[size]:
            lines.append(
                f"{f'{size} {v}':27}{its['samples_per_second'][v]:10,.4g} {its['ratio_to_plain'][v]:8.2f}x"
                f" {its['peak_share'][v]:8.1%} {its['peak_mb'][v]:9,} {its['step_mb'][v]:9,}"
                f" {its['step_memory_to_plain'][v]:8.2f}x"
            )
    for size in SHAPES:
        its = results[size]
        lines.append(
            f"{size}: batch {its['batch']}, {its['parameters'] / 1e6:.1f} M parameters,"
            f" {its['gmacs_forward']:g} billion multiply-adds forward, {its['gmacs_step']:g} with backward;"
            f" losses differ by {its['loss_differs_by']:g}"
        )
    whole = ", ".join(f"{v} {h:,}" for v, h in results["hours_25_epochs_audioset_2m"].items())
    lines.append(f"hours for {EPOCHS} epochs of {CLIPS:,} clips at base: {whole}")
    gpu = results["gpu"]
    if not gpu:
        return "\n".join([*lines, f"no GPU measured: {results['gpu_why']}"])
    lines += [
        "",
        f"{gpu['card']}: {gpu['peak_matmul_tmacs_bfloat16']:g} T multiply-adds a second",
    ]
    for row in gpu["rows"]:
        head = f"base {row['variant']:21} batch {row['batch']:4}"
        if row["samples_per_second"] is None:
            lines.append(f"{head} {row['why']}")
        else:
            lines.append(
                f"{head} {row['samples_per_second']:10,.4g} samples/s {row['peak_share']:8.1%} of peak"
                f" {row['memory_mb']:9,.0f} MB {row['hours_audioset_2m']:7,.0f} hours"
            )
    return "\n".join(lines)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--part", nargs="+", help=argparse.SUPPRESS)
    part = parser.parse_args().part
    if part:
        print(json.dumps(PARTS[part[0]](*part[1:])))
        return
    result = measure()
    result_files.save("cav_mae", result)
    print(table(result))


if __name__ == "__main__":
    main()
