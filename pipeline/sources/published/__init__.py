"""What the sources of published lists of online videos share.

`list_files`: find, download and read lists. `media`: where the media of their clips are (YouTube, a folder,
archives), and the functions of a source that follow from it. `selection`: at most so many clips.
"""
