"""The stages `audio_towers` and `video_towers`: frozen networks over the shards of sound or pictures."""

import json
from typing import Any

from models.components import encoder_module
from models.inference.towers_step import TowersStep, load_towers
from pipeline.dataset.windows import Segments, WindowRule
from pipeline.engine import runner
from pipeline.engine.clip_keys import compute_fingerprint
from pipeline.store import clip_table
from pipeline.store.formats import Layout
from pipeline.store.shards import Shards


def compute_features(params: Any, side: str, upstream: Layout, segments: Segments | None) -> None:
    """Write the features of every clip to the shards of the stage; an empty index if there are no towers.

    params: what the stage may read of params.yaml. side: "audio" or "video". upstream: the stage with the
    spectrograms or frames. segments: how sound is divided; None for video.
    Raises UserError if a network cannot be loaded.
    """
    name = f"{side}_towers"
    networks = select_networks(params, side)
    clip_shape = upstream.format.shape  # type: ignore[attr-defined]  # Arrays, as all that networks read
    if not networks:
        shards = Shards.from_layout(TowersStep(side, "{}", clip_shape, segments, 0, "").layout)
        shards.start_run([])
        shards.merge_indexes(0)
        print(f"{name}: nothing to do (towers.{side} is empty)")
        return
    text = json.dumps(networks, sort_keys=True)
    towers = load_towers(side, text, clip_shape, segments)
    step = TowersStep(side, text, clip_shape, segments, towers.module.n_features, towers.identity)
    modules = [encoder_module(side, network) for network in networks]
    job = runner.Job(
        name=name,
        step=step,
        shards=step.layout,
        fingerprint=compute_fingerprint(params, TowersStep, *modules) + towers.identity,
        upstream=upstream,
    )
    clips = clip_table.read("data/clips.parquet").to_pylist()
    runner.run(job, clips, params.data.shard_size, params.engine)


def select_networks(params: Any, side: str) -> dict[str, dict[str, Any]]:
    """Return the networks of `towers.<side>` of params.yaml: name -> keywords, those of their library."""
    keywords = getattr(params.encoders, side)
    return {name: keywords.get(name.partition("/")[0], {}) for name in getattr(params.towers, side)}


def audio_segments(params: Any, clip_columns: int) -> Segments:
    """Return how sound is divided. clip_columns: stored spectrogram columns of a clip."""
    rule = WindowRule.from_config(params.audio, params.video, clip_columns)
    return Segments.from_seconds(params.towers.segment_seconds, params.towers.hop_seconds, rule)
