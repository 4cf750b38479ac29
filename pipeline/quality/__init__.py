"""What is wrong with a clip, from its stored sound and frames, and which clips recur.

- `sound`: `AudioQualityStep`, silence, loudness, clipping and bandwidth of a clip's sound, its fingerprint
- `picture`: `VideoQualityStep`, change, cuts, black frames and bars of a clip's frames, their hashes
- `fingerprint`: of a sound; `picture_hash`: hashes of a picture; `search`: neighbours of binary codes
- `duplicates`: `find_sounds`, `find_pictures`, pairs of clips that share sound or picture; `group_clips`
- `groups`: `find_groups`, of all clips by what is stored of them
- `table`: `make_table`, data/quality.parquet with the flags of each clip; `count_flags`
"""
