"""What an archive says of a clip beside its media: labels, the subject, the split, and other facts.

It stands in members `.json`, `.cls` and `.txt` with the key of the media, in columns of a Parquet file, or in
`data.labels`.
"""

import json
import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any

from pipeline.store import clip_table

LABEL_KEYS = ("labels", "label", "category", "class", "cls")  # the first that is there
SUBJECT_KEYS = ("subject", "speaker", "speaker_id")
SPLITS = {"train": "train", "training": "train", "val": "val", "valid": "val", "validation": "val"}
SPLITS |= {"dev": "val", "test": "test", "testing": "test", "eval": "test"}
MAX_LABELS = 100  # of a clip
MAX_LABEL = 200  # characters
MAX_TEXT = 2000  # characters of another fact
MAX_COLUMNS = 16  # of other facts, in the clip table
_NAME = re.compile(r"[A-Za-z][A-Za-z0-9_]{0,40}")
_RESERVED = {*clip_table.SCHEMA.names, *LABEL_KEYS, *SUBJECT_KEYS, "path", "problem", "video_id"}


@dataclass
class Facts:
    """What is known of a clip. other: facts without a meaning here, as text, by their names."""

    clip_id: str | None = None
    labels: list[str] = field(default_factory=list)
    subject: str | None = None
    split: str | None = None
    other: dict[str, str] = field(default_factory=dict)

    def update(self, more: "Facts") -> None:
        """Add what `more` knows and this does not."""
        self.clip_id = self.clip_id or more.clip_id
        self.labels = self.labels or more.labels
        self.subject = self.subject or more.subject
        self.split = self.split or more.split
        self.other = more.other | self.other


def from_mapping(values: Mapping[str, Any]) -> Facts:
    """Return the facts in a JSON object, or in a row of a table. A fact of another type is left out."""
    labels: list[str] = []
    for key in LABEL_KEYS:
        value = values.get(key)
        labels = labels or to_labels(value if isinstance(value, list) else [value])
    subject = next((text for key in SUBJECT_KEYS if (text := _to_text(values.get(key), MAX_LABEL))), None)
    split = SPLITS.get((_to_text(values.get("split"), MAX_LABEL) or "").lower())
    other = {}
    for name, value in values.items():
        is_name = isinstance(name, str) and _NAME.fullmatch(name) and name.lower() not in _RESERVED
        if is_name and (text := _to_text(value, MAX_TEXT)):
            other[name] = text
    return Facts(_to_text(values.get("clip_id"), MAX_LABEL), labels, subject, split, other)


def from_member(extension: str, content: bytes) -> Facts:
    """Return the facts in a member. extension: json, cls or txt. Raises ValueError if it is not valid."""
    try:
        text = content.decode("utf-8-sig")
    except UnicodeDecodeError:
        raise ValueError("not UTF-8") from None
    if extension == "cls":
        return Facts(labels=to_labels([text]))
    if extension == "txt":
        text_fact = _to_text(text, MAX_TEXT)
        return Facts(labels=to_labels(text.splitlines()), other={"text": text_fact} if text_fact else {})
    try:
        values = json.loads(text)
    except (ValueError, RecursionError):
        raise ValueError("not JSON") from None
    if not isinstance(values, dict):
        raise ValueError("no JSON object")
    return from_mapping(values)


def to_labels(values: Iterable[Any]) -> list[str]:
    """Return the values that can be labels, each once: text of at most 200 characters, or numbers."""
    labels = (_to_text(value, MAX_LABEL) for value in values)
    return list(dict.fromkeys(label for label in labels if label))[:MAX_LABELS]


def common_columns(all_facts: Iterable[Facts]) -> tuple[list[str], list[str]]:
    """Return the names of other facts that become columns of the clip table, and those of the others.

    The clip table has at most 16 of them: the first ones by name.
    """
    names = sorted({name for facts in all_facts for name in facts.other})
    return names[:MAX_COLUMNS], names[MAX_COLUMNS:]


def _to_text(value: Any, max_length: int) -> str | None:
    """Return a text or a number as a text; None for anything else, for an empty text and for a long one."""
    if not isinstance(value, str | int | float):
        return None
    text = " ".join(str(value).split())
    try:
        text.encode()
    except UnicodeEncodeError:  # half of a surrogate pair, which no table can hold
        return None
    return text if 0 < len(text) <= max_length else None
