"""Convert media files to arrays. Files are untrusted: a file that refers to other files is refused.

Steps, each with the layout of its shards: `wav.WavStep`, `spectrogram.SpectrogramStep`, `frames.FramesStep`,
`faces.FacesStep`. `decoders`: PyAV, and the ffmpeg program. `features`: features of sound. `files`: `Media`,
`open_media`, `clip_span`. `local_files`: the values of a media shard as files. `ffmpeg`: its options against
hostile files, and its binary. `frame_converter`: from decoded frames to pictures. `feature_ranges`: units and
ranges of audio features.
"""
