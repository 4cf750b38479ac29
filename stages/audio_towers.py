"""The stage audio_towers: compute the features of every clip's sound by the networks of `towers.audio`."""

from models.inference.towers import audio_segments, compute_features
from pipeline.cli import run
from pipeline.config import load
from pipeline.media.spectrogram import SpectrogramStep


def audio_towers() -> None:
    """Write the features of every clip with sound to the shards of this stage.

    If `towers.audio` names no network, write an empty index.
    """
    params = load("audio_towers")
    upstream = SpectrogramStep(params.audio, params.data.clip_seconds)
    segments = audio_segments(params, clip_columns=upstream.shape[2])
    compute_features(params, "audio", upstream.layout, segments)


if __name__ == "__main__":
    run(audio_towers)
