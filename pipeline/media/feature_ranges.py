"""What the features of sound have in common: how they grow with loudness, and how bytes hold them."""

import math

# What one decibel adds to a feature; features that are not logarithms are multiplied instead.
DECIBEL = {
    "mel": 1.0,
    "log_frequency": 1.0,
    "log_spectrogram": math.log(10) / 20,  # of a magnitude
    "fbank": math.log(10) / 10,  # of a power
}
# The least and most that uint8 holds of each, as 0 and 255: silence, and beyond what full scale reaches.
BYTES = {
    "mel": (-100.0, 60.0),
    "log_frequency": (-100.0, 60.0),
    "log_spectrogram": (-11.6, 10.4),
    "fbank": (-16.0, 24.0),
}
