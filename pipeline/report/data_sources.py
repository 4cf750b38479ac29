"""How the sources of clips are described in the cards of models and data sets."""

from typing import NamedTuple

OWN = "Earsight rendered them: MIT, as Earsight"
YOUTUBE = "the videos belong to those who uploaded them to YouTube"


class SourceDescription(NamedTuple):
    """text: what the clips are. rights: whose they are. url: of the publisher; empty if there is none.

    is_synthetic: Earsight rendered them. is_youtube: their media are of YouTube, whose terms do not allow to
    pass them on.
    """

    text: str
    rights: str
    url: str = ""
    is_synthetic: bool = False
    is_youtube: bool = False


SOURCES = {  # data.source -> description
    "ensemble": SourceDescription(
        "synthetic musical instruments, rendered by Earsight", OWN, is_synthetic=True
    ),
    "people": SourceDescription("synthetic talking heads, rendered by Earsight", OWN, is_synthetic=True),
    "audioset": SourceDescription(
        "AudioSet: segments of YouTube videos with human labels",
        f"the lists are CC BY 4.0; {YOUTUBE}",
        "https://research.google.com/audioset/",
        is_youtube=True,
    ),
    "vggsound": SourceDescription(
        "VGGSound: 10 s of YouTube videos with one of 309 labels",
        f"the list is CC BY 4.0; {YOUTUBE}",
        "https://github.com/hche11/VGGSound",
        is_youtube=True,
    ),
    "ave": SourceDescription(
        "AVE: audio-visual events of 28 classes in YouTube videos",
        f"the lists name no licence; {YOUTUBE}",
        "https://github.com/YapengTian/AVE-ECCV18",
        is_youtube=True,
    ),
    "music": SourceDescription(
        "MUSIC: YouTube videos of solos and duets of musical instruments",
        f"the lists name no licence; {YOUTUBE}",
        "https://github.com/roudimit/MUSIC_dataset",
        is_youtube=True,
    ),
    "crema_d": SourceDescription(
        "CREMA-D: actors who speak sentences with different emotions",
        "Open Database License and Database Content License, of the authors of CREMA-D",
        "https://github.com/CheyneyComputerScience/CREMA-D",
    ),
    "voxceleb": SourceDescription(
        "VoxCeleb: faces and voices of celebrities, from interviews",
        f"the lists are CC BY 4.0; {YOUTUBE}",
        "https://www.robots.ox.ac.uk/~vgg/data/voxceleb/",
        is_youtube=True,
    ),
    "folder": SourceDescription(
        "a private folder of videos", "those who made the files hold the rights; the folder names no licence"
    ),
}


def describe_source(name: str | None) -> SourceDescription:
    """Return the description of a source. name: the value of `data.source`; None: unknown."""
    unknown = SourceDescription(name or "an unknown source", "see the source")
    return SOURCES.get(name or "", unknown)
