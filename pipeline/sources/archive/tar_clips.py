"""From the members of tars to clips: members with one key are one clip.

The key is the path without its extension. Where a member with facts has the path up to the first dot of the
name, as WebDataset has it, that is the key: `a.json` takes `a.mp4` and `a.00.png`.
"""

from collections import Counter

from pipeline.media.members import TarMember
from pipeline.sources.archive.entries import Entry
from pipeline.sources.archive.facts import from_member
from pipeline.sources.archive.tar_index import FACTS, Member, TarIndex
from pipeline.sources.folder.extensions import BOTH, PICTURE, SOUND, split_extension
from pipeline.sources.messages import quote_first


def list_clips(archive: str, index: TarIndex) -> tuple[list[Entry], list[str]]:
    """Return the clips in a tar, in the order of its keys, and lines about what is in no clip.

    A video is both sound and picture of a clip. Without a video, a sound and a picture are. A member that is
    there twice counts as it would be unpacked: the last one.
    """
    members = {member.name: member for member in index.members}
    lines = list(index.notes)
    n_repeated = len(index.members) - len(members)
    if n_repeated:
        repeated = [name for name, n in Counter(m.name for m in index.members).items() if n > 1]
        lines.append(
            f"{archive}: {n_repeated} members are there twice, the last is used: {quote_first(repeated)}"
        )
    members_by_key: dict[str, dict[str, Member]] = {}  # key -> extension -> member
    paths = {name: name.removeprefix("./") for name in members}
    keys_with_facts = {stem for stem, extension in map(split_extension, paths.values()) if extension in FACTS}
    for name, path in paths.items():
        key, extension = split_extension(path)
        folder, slash, base = path.rpartition("/")
        short_key = folder + slash + base.partition(".")[0]
        if short_key != key and short_key in keys_with_facts:
            key, extension = short_key, path.removeprefix(f"{short_key}.").lower()
        members_by_key.setdefault(key, {})[extension] = members[name]
    entries: list[Entry] = []
    without_media: list[str] = []
    unused: list[str] = []
    invalid_facts: list[str] = []
    for key, group in members_by_key.items():
        video, sound, picture = (_first(group, kind) for kind in (BOTH, SOUND, PICTURE))
        if not (video or sound or picture):
            without_media.append(key)
            continue
        media = {"audio": video or sound, "video": video or picture}
        selected = {member.name for member in media.values() if member}
        unused += [m.name for e, m in group.items() if e not in FACTS and m.name not in selected]
        entry = Entry(archive, key)
        entry.audio, entry.video = (_locate(archive, media[column]) for column in ("audio", "video"))
        entry.problem = next((m.problem for m in media.values() if m and m.problem), "")
        for extension in FACTS:
            if extension in group:
                try:
                    entry.facts.update(from_member(extension, _content(group[extension])))
                except ValueError as e:
                    invalid_facts.append(f"{group[extension].name} ({e})")
        entries.append(entry)
    for names, text in (
        (without_media, "keys without media, left out"),
        (unused, "members left out, whose key has another one"),
        (invalid_facts, "members with labels or facts cannot be read, left out"),
    ):
        if names:
            lines.append(f"{archive}: {len(names)} {text}: {quote_first(names)}")
    return entries, lines


def _first(group: dict[str, Member], extensions: frozenset[str]) -> Member | None:
    """Return the first member of a key with one of these extensions; of `jpg` and `00.jpg`, the first."""
    matches = (ext for ext in group if ext.rpartition(".")[2] in extensions)
    best = min(matches, key=lambda ext: ext.count("."), default=None)
    return group[best] if best is not None else None


def _locate(archive: str, member: Member | None) -> str | None:
    """Return the location of a member; None if there is none."""
    return str(TarMember(member.offset, member.size, archive, member.name)) if member else None


def _content(member: Member) -> bytes:
    if member.content is None:
        raise ValueError(member.problem)
    return member.content
