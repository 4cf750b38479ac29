"""Read the list of VGGSound, and the published lists of subsets of it."""

import os
import re
from typing import NamedTuple

from pipeline.errors import UserError
from pipeline.sources.published import list_files

# Published subsets: name -> file in `data.subset_lists`, which may have .gz after its name.
TEST_SUBSETS = {
    "retrieval_1545": "vgg_test_5_per_class_for_retrieval_template.json",
    "vggsounder": "vggsounder.csv",
    "vggsounder_background_music": "vggsounder+background-music.csv",
    "vggss": "vggss_test.csv",
    "vggss_heard": "vggss_heard_test.csv",
    "vggss_unheard": "vggss_unheard_test.csv",
}
TRAIN_SUBSETS = {
    "vggss_10k": "vggss_10k.txt",
    "vggss_144k": "vggss_144k.txt",
    "vggss_heard": "vggss_heard.txt",
}
NAME = re.compile(r"(.+)_(\d{6})")  # of a clip: YouTube id, first second
VGGSOUNDER = ["video_id", "label", "modality", "background_music", "static_image", "voice_over"]
Labels = list[tuple[str, str]]  # name of the class, and A, V or AV: audible, visible or both


class ListedClip(NamedTuple):
    """A row of VGGSound's list."""

    video: str  # YouTube's id
    start: int  # s
    label: str
    is_test: bool

    @property
    def name(self) -> str:
        """The name of the clip in copies of the data set and in lists of subsets."""
        return f"{self.video}_{self.start:06d}"


def read_list(source: str) -> list[ListedClip]:
    """Read the list of clips. source: its path or URL.

    A row of the whole list has four fields: YouTube id, start, label, train or test. A row of the published
    list of test clips has two: name of the file, label. Raises UserError with all rows that are neither.
    """
    key = "data.vggsound.list"
    clips, problems = [], []
    for line, fields in list_files.read_rows(source, key):
        clip = _parse_row([field.strip() for field in fields])
        if clip:
            clips.append(clip)
        else:
            text = ",".join(fields)[:60]
            problems.append(f"line {line}: not a YouTube id, a start, a label, and train or test: {text}")
    list_files.raise_problems(source, key, problems)
    return clips


def _parse_row(fields: list[str]) -> ListedClip | None:
    """Return the clip of a row; None if the row is invalid."""
    if len(fields) == 2:
        match = NAME.fullmatch(os.path.splitext(fields[0])[0])
        fields = [match[1], match[2], fields[1], "test"] if match else []
    if len(fields) != 4 or not all(fields) or fields[3] not in ("train", "test"):
        return None
    video, start, label, split = fields
    if not re.fullmatch(r"[0-9]{1,6}", start):
        return None
    return ListedClip(video, int(start), label, split == "test")


def read_subset(folder: str, file: str) -> dict[str, Labels]:
    """Read a list of a subset: return name of a clip -> its labels, which only VGGSounder's lists have.

    folder: `data.subset_lists`. file: a value of TEST_SUBSETS or TRAIN_SUBSETS. Raises UserError if the file
    is missing, or has something else in it.
    """
    key = "data.subset_lists"
    path = list_files.find_list(folder, file, key)
    if file.endswith(".json"):
        return _read_json_names(path, key)
    names: dict[str, Labels] = {}
    rows = list_files.read_rows(path, key)
    is_vggsounder = file.startswith("vggsounder")
    if is_vggsounder and next(rows, (0, []))[1] != VGGSOUNDER:
        raise UserError(f"{key}: {path}: its columns should be {', '.join(VGGSOUNDER)}")
    problems = []
    for line, fields in rows:
        is_valid = len(fields) == len(VGGSOUNDER) and fields[2] in ("A", "V", "AV") if is_vggsounder else True
        if not NAME.fullmatch(fields[0]) or not is_valid:
            problems.append(f"line {line}: not a clip of VGGSound: {','.join(fields)[:60]}")
            continue
        labels = names.setdefault(fields[0], [])
        if is_vggsounder:
            labels.append((fields[1], fields[2]))
    list_files.raise_problems(path, key, problems)
    return names


def _read_json_names(path: str, key: str) -> dict[str, Labels]:
    """Return the names of clips of a JSON list, `{"data": [{"video_id": ...}, ...]}`, without labels."""
    content = list_files.read_json(path, key)
    try:
        names = [entry["video_id"] for entry in content["data"]]
        if not all(NAME.fullmatch(name) for name in names):
            raise ValueError("a video_id is not <YouTube id>_<six digits>")
    except (TypeError, KeyError, ValueError) as e:
        raise UserError(f"{key}: {path}: no list of clips under data ({type(e).__name__}: {e})") from None
    return {name: [] for name in names}
