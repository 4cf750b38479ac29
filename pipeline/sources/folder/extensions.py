"""Kinds of media by file extension."""

import os

# Containers that can hold both sound and picture: until it is decoded, such a file counts as both.
# fmt: off
BOTH = frozenset({
    "3g2", "3gp", "asf", "avi", "divx", "dv", "f4v", "flv", "m2ts", "m2v", "m4v", "mkv", "mov",
    "mp4", "mpe", "mpeg", "mpg", "mts", "mxf", "ogg", "ogm", "ogv", "ts", "vob", "webm", "wmv",
})
SOUND = frozenset({
    "aac", "ac3", "aif", "aifc", "aiff", "amr", "au", "caf", "eac3", "flac", "m4a", "mka", "mp2",
    "mp3", "oga", "opus", "w64", "wav", "wave", "wma",
})
PICTURE = frozenset({
    "bmp", "gif", "jfif", "jpe", "jpeg", "jpg", "pgm", "png", "ppm", "tif", "tiff", "webp",
})
# fmt: on
MEDIA = BOTH | SOUND | PICTURE


def split_extension(path: str) -> tuple[str, str]:
    """Return a path without its extension, and the extension in lower case: ("a/b", "mp4") for "a/b.MP4"."""
    stem, extension = os.path.splitext(path)
    return stem, extension[1:].lower()
