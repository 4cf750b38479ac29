"""From media files to arrays. Files are hostile until checked, and nothing else is opened with them.

Steps, each with the layout of its shards: `wav.WavStep`, `spectrogram.SpectrogramStep`,
`frames.FramesStep`, `faces.FacesStep`. Beside them `files` (`Media`, `opened`, `span`), `local_files` (a
media shard's values as files), `ffmpeg` (its guard and its binary), `feature_ranges`.
"""
