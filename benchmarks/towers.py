"""Training on stored features against the same frozen networks in the training loop: windows per second.

    python -m benchmarks.towers [--weights FOLDER]

The model is the same in both cases: `cached` encoders for sound and picture on the project's data (run
`make repro` before). The features are computed here, in memory, as the stages audio_towers and video_towers
do it.
"""

import argparse
import json
import time
from dataclasses import replace

import numpy as np
import torch

from benchmarks import result_files
from models import checkpoint
from models.inference.towers_step import load_towers
from models.tasks import tasks
from models.training.batches import Batches
from models.training.experiment import configure_experiment, select_input_params
from models.training.loop import make_config
from pipeline.config import read
from pipeline.dataset import dataset
from pipeline.dataset.augment import Augment
from pipeline.dataset.features import FeatureUse
from pipeline.dataset.windows import Segments

NETWORK = "timm/tf_efficientnet_lite0"
CLIPS = 256
STEPS = {"in the loop": 3, "stored": 60}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument(
        "--weights", help="folder with tf_efficientnet_lite0.safetensors; else random weights"
    )
    arguments = parser.parse_args()
    keywords = {"pretrained": arguments.weights} if arguments.weights else {}
    names = {"audio_encoder": "cached", "video_encoder": "cached"}
    towers = {"towers.audio": [NETWORK], "towers.video": [NETWORK]}
    libraries = {"encoders.audio.timm": keywords, "encoders.video.timm": keywords}
    params = read().override(names | towers | libraries)
    data = dataset.load("data", params.audio, params.video, params.input)
    clips = data.indices("train")[:CLIPS]
    segments = Segments.from_seconds(None, None, data.windows)
    features, seconds = {}, {}
    for side, arrays, division in (("audio", data.audio, segments), ("video", data.video, None)):
        text = json.dumps({NETWORK: keywords}, sort_keys=True)
        module = load_towers(side, text, arrays.shape[1:], division).module
        begin = time.perf_counter()
        with torch.inference_mode():
            values = [module(torch.from_numpy(np.array(arrays[i]))[None])[0].half().numpy() for i in clips]
        seconds[f"{side} features of {len(clips)} clips"] = round(time.perf_counter() - begin, 1)
        stored = np.zeros((len(data), *values[0].shape), np.float16)
        stored[clips] = values
        features[side] = stored
    with_features = replace(data, features=features)
    rates = {
        name: measure_rate(params, with_features, with_features if name == "stored" else data, clips, n_steps)
        for name, n_steps in STEPS.items()
    }
    results = {
        "network": NETWORK,
        "seconds": seconds,
        "windows_per_second": rates,
        "factor": round(rates["stored"] / rates["in the loop"], 1),
    }
    result_files.save("towers", results)
    print(json.dumps(results, indent=1))


def measure_rate(params, with_features, data, clips: np.ndarray, n_steps: int) -> float:
    """Return windows per second of a training step: read, augment, forward, backward, AdamW."""
    experiment = configure_experiment(params)
    plan = tasks.get(experiment.task).plan(experiment, with_features)
    config = make_config(experiment, params.train, select_input_params(params), with_features)
    config |= plan.config_entries
    torch.manual_seed(0)
    module = checkpoint.build(config)
    checkpoint.attach_towers(module)
    optimizer = torch.optim.AdamW(p for p in module.parameters() if p.requires_grad)
    augment = Augment(params.audio.feature, **params.augment.model_dump())
    batches = Batches(data, augment, features=FeatureUse.from_config(config))
    size = params.train.batch_size
    sampler = plan.make_sampler(clips, size, 0)
    begin, n_windows, step = 0.0, 0, 0
    module.log = lambda *_, **__: None  # there is no trainer
    while True:
        for batch in sampler:
            if step == 1:  # the first one warms up
                begin = time.perf_counter()
            loss = module.training_step(batches[batch], step)["loss"]
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
            n_windows += len(batch.clip) if step else 0
            if step == n_steps:
                return round(n_windows / (time.perf_counter() - begin), 1)
            step += 1


if __name__ == "__main__":
    main()
