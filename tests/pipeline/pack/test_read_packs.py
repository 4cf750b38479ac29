"""A pack is read back by the source `archive`."""

from types import SimpleNamespace

import pyarrow.parquet as pq

from pipeline.media import members
from pipeline.sources import archive


def test_a_pack_is_a_source(packs, in_project):
    for folder in packs.values():
        packed = {row["clip_id"]: row for row in pq.read_table(folder / "clips.parquet").to_pylist()}
        data = SimpleNamespace(archives=[f"{folder}/data/*"], folder=".")
        rows = archive.clips(data).table.to_pylist()
        assert {row["clip_id"] for row in rows} == packed.keys()
        for row in rows:
            labels = packed[row["clip_id"]]["labels"]
            assert row["labels"] == [" ".join(label.split()) for label in labels]
            assert row["split"] == packed[row["clip_id"]]["split"]
            with members.open_member(row["audio"] or row["video"]) as member:
                assert member.read()
