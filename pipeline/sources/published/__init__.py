"""What the sources of published lists of online videos share.

`list_files`: find, download and read lists. `media`: where the media of their clips are. `in_place` and
`downloads`: the functions of a source for files and for YouTube. `selection`: at most so many clips, and
videos that are in several splits.
"""
