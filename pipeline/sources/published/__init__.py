"""What the sources of published lists of online videos share.

`list_files`: find, download and read lists. `media`: where the media of their clips are. `downloads`: the
functions of a source for those on YouTube. `selection`: at most so many clips; videos in several splits.
"""
