"""Units and ranges of the audio features: the effect of one decibel, and the range that uint8 covers."""

import math

# The increase of a feature per decibel. Features without a logarithm are not listed: they are multiplied.
DECIBEL = {
    "mel": 1.0,
    "cqt": 1.0,
    "log_frequency": 1.0,
    "log_spectrogram": math.log(10) / 20,  # of a magnitude
    "fbank": math.log(10) / 10,  # of a power
}
# Features that a gain changes little or not at all: it moves the first of the coefficients of `mfcc` alone.
LEVEL_FREE = ("mfcc", "pcen", "chroma")
# The values that uint8 stores as 0 and 255: silence, and more than a full-scale signal reaches.
BYTES = {
    "mel": (-100.0, 60.0),
    "log_frequency": (-100.0, 60.0),
    "cqt": (-100.0, 60.0),
    "log_spectrogram": (-11.6, 10.4),
    "fbank": (-16.0, 24.0),
}
