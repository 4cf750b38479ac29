"""What each encoder costs: `python -m benchmarks.encoders` writes the table of docs/encoders.md.

Parameters, multiplications and additions of one input, and milliseconds of one processor core for a training
step (forward and backward) of a batch on this machine, for the inputs and sizes of params.yaml.
"""

import time
from pathlib import Path

import torch
from torch.utils.flop_counter import FlopCounterMode

from benchmarks import result_files
from models.audio import encoders as audio_encoders
from models.video import encoders as video_encoders
from pipeline.config import read
from pipeline.config.towers import CACHED
from pipeline.media import spectrogram

PAGE = Path("docs/encoders.md")
MARK = "<!-- python -m benchmarks.encoders -->"
BATCH, FRAMES, REPEATS = 8, 8, 3
HUBS = {"audio": ["timm/resnet18"], "video": ["timm/resnet18", "torchvision/vgg16"]}


def measure(name: str, registry, sizes: dict, x: torch.Tensor, dim: int) -> dict:
    torch.manual_seed(0)
    model = registry.make(name, tuple(x.shape[1:]), dim, **sizes)
    with FlopCounterMode(display=False) as counted, torch.no_grad():
        model.eval()(x[:1])
    model.train()
    seconds = []
    for _ in range(1 + REPEATS):
        start = time.process_time()
        model(x).sum().backward()
        seconds.append(time.process_time() - start)
    return {
        "parameters": sum(p.numel() for p in model.parameters()),
        "multiply_adds": counted.get_total_flops() // 2,
        "ms_batch": round(1000 * min(seconds[1:]), 1),
    }


def table(results: dict, params) -> str:
    a, v = params.audio, params.video
    lines = [
        MARK,
        "",
        f"Sound of {a.window_seconds:g} s ({a.feature}), and {FRAMES} frames of {v.height} × {v.width}, of"
        " which `frame`, `avenet`, `timm/` and `torchvision/` take the middle one. A training step of a batch"
        f" of {BATCH}, single precision, milliseconds of one processor core.",
        "",
        "| | parameters | multiply-adds for one input | ms for a training step |",
        "| --- | ---: | ---: | ---: |",
    ]
    for kind in ("audio", "video"):
        for name, row in results[kind].items():
            lines.append(
                f"| {kind} `{name}` | {row['parameters'] / 1e6:.2f} M | {row['multiply_adds'] / 1e6:,.0f} M "
                f"| {row['ms_batch']:,.0f} |"
            )
    return "\n".join(lines) + "\n"


def main() -> None:
    params = read()
    step = spectrogram.SpectrogramStep(params.audio, params.audio.window_seconds)
    sound = torch.randn(BATCH, *step.shape)
    pictures = torch.randint(
        0, 256, (BATCH, FRAMES, params.video.height, params.video.width, 3), dtype=torch.uint8
    )
    torch.set_num_threads(1)
    results: dict = {"threads": 1, "batch": BATCH}
    dim = params.train.embedding_dim
    for kind, registry, x in (("audio", audio_encoders, sound), ("video", video_encoders, pictures)):
        sizes = getattr(params.encoders, kind)
        results[kind] = {
            name: measure(name, registry, sizes.get(name.partition("/")[0], {}), x, dim)
            for name in (*registry.names(), *HUBS[kind])
            if name != CACHED  # a head alone: docs/towers.md
        }
    result_files.save("encoders", results)
    text = PAGE.read_text(encoding="utf-8")
    markdown = table(results, params)
    PAGE.write_text(text[: text.index(MARK)] + markdown, encoding="utf-8")
    print(markdown)


if __name__ == "__main__":
    main()
