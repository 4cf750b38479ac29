"""Features of sound: functions from samples (time,) float32 in -1..1 to (channels, freq, time).

`scipy_features`: those that are computed here. `librosa_features`: the same with librosa, and those that only
librosa has. `filter_banks`: from a power spectrum to bins.
"""
