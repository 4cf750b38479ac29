"""Flags, statuses and groups of data/quality.parquet."""

from typing import get_args

import numpy as np
import pyarrow as pa

from pipeline.config import read
from pipeline.config.quality import Flag
from pipeline.quality.table import FLAGS, MEASURES, SCHEMA, Groups, count_flags, make_table
from pipeline.store.status import STATUSES
from testing import defaults

GOOD = {
    "silence": 0.0,
    "loudness": -20.0,
    "clipping": 0.0,
    "bandwidth": 8000.0,
    "audio_seconds": 4.0,
    "change": 0.1,
    "motion": 0.2,
    "black": 0.0,
    "letterbox": 0.0,
    "cuts": 0,
    "video_seconds": 4.0,
}
NOTHING = dict.fromkeys(MEASURES)


def table(*rows: dict, groups: list[int] | None = None, end: float | None = None, **changes) -> list[dict]:
    """Return the rows of the table for clips with these measures, which differ from GOOD."""
    n = len(rows)
    clips = pa.table(
        {
            "clip_id": [f"c{i}" for i in range(n)],
            "start": pa.nulls(n, pa.float64()),
            "end": pa.array([end] * n, pa.float64()),
        }
    )
    schema = pa.schema([field for field in SCHEMA if field.name in MEASURES])
    measures = pa.Table.from_pylist([GOOD | row for row in rows], schema)
    joined = np.array(groups or [-1] * n)
    quality = read(defaults.PARAMS).quality.model_copy(update=changes)
    columns = {name: measures[name] for name in MEASURES}
    result = make_table(clips, columns, Groups(joined, joined, joined), quality, 16000, 4.0)
    assert result.schema.equals(SCHEMA) and sum(count_flags(result).values()) == sum(
        len(row["flags"]) for row in result.to_pylist()
    )
    return result.to_pylist()


def flags(**measures) -> list[str]:
    [row] = table(measures)
    return row["flags"]


def test_every_flag_is_a_status_and_a_parameter():
    [one_of] = [item for item in get_args(Flag) if hasattr(item, "names")]
    assert set(FLAGS) == set(one_of.names) and set(FLAGS) <= set(STATUSES)


def test_a_good_clip_and_a_clip_without_measures_have_no_flag():
    assert flags() == [] and flags(**NOTHING) == []


def test_each_measure_has_its_flag():
    assert flags(loudness=-60.0) == ["quiet"]
    assert flags(clipping=0.2) == ["clipped"]
    assert flags(bandwidth=3000.0) == ["narrow"]
    assert flags(letterbox=0.25) == ["letterboxed"]
    assert flags(cuts=2) == ["cuts"]
    assert flags(motion=0.0, change=0.0) == ["still"]
    assert flags(audio_seconds=2.0) == ["short"] == flags(video_seconds=2.0)


def test_silence_and_blackness_explain_other_faults():
    assert flags(silence=1.0, loudness=None, bandwidth=0.0) == ["silent"]
    assert flags(black=1.0, motion=0.0) == ["black"]


def test_a_clip_is_short_if_it_has_less_than_was_asked_for():
    [row] = table({"audio_seconds": 2.0, "video_seconds": 2.0}, end=2.0)  # two seconds were asked for
    assert row["flags"] == []


def test_duplicates_name_the_first_clip():
    first, copy, other = table({}, {}, {}, groups=[0, 0, -1])
    assert (first["group"], copy["group"], other["group"]) == ("c0", "c0", None)
    assert (first["flags"], copy["flags"]) == ([], ["duplicate"])


def test_dropped_clips_have_the_flag_as_their_status():
    rows = table({"silence": 1.0}, {"motion": 0.0}, {}, groups=[-1, -1, 1], drop=["still", "duplicate"])
    assert [row["status"] for row in rows] == ["ok", "still", "duplicate"]
    assert "0.006" in rows[1]["detail"] and "c1" in rows[2]["detail"]
    assert [row["flags"] for row in rows] == [["silent"], ["still"], ["duplicate"]]
