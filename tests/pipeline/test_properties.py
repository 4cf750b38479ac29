"""What must hold for any input: what parses, what must come back as it was, what a metric is by definition.

The slow versions of metrics here are loops that say what the words at the top of each module say.
"""

import csv
import io
import json
import math
import os
import tempfile
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import yaml
from hypothesis import HealthCheck, assume, given, settings
from hypothesis import strategies as st

from pipeline import params
from pipeline.dataset.split import assign
from pipeline.errors import UserError
from pipeline.metrics import bootstrap, classification, retrieval, verification
from pipeline.params import Params
from pipeline.sources import audioset_lists, clips_csv, folder
from pipeline.store import clip_table
from pipeline.store.clip_table import from_rows
from pipeline.store.formats import Arrays, Files
from pipeline.store.shards import RETRIED, Shards
from pipeline.store.status import OK, STATUSES, Outcome, failed
from testing import defaults

# Always the same examples: a test that fails now and then tells nobody what broke.
EASY = {"deadline": None, "derandomize": True, "database": None, "suppress_health_check": list(HealthCheck)}


def some(examples: int) -> settings:
    return settings(max_examples=examples, **EASY)


text = st.text(max_size=12)
ids = st.from_regex(clip_table.CLIP_ID, fullmatch=True).map(lambda s: s[:200])
odd = st.sampled_from(
    ["", " ", "-a", "..", "a/b", '"', "'", "a,b", "a;b", "\n", "\r\n", "é", "\ufeff", "=1", "\0", "a\tb"]
)
seconds = st.none() | st.floats(allow_nan=True) | st.floats(0, 100)


# --- clip tables and lists ------------------------------------------------------------------------------


@st.composite
def clip_rows(draw) -> list[dict]:
    row = st.fixed_dictionaries(
        {
            "clip_id": ids | text | odd,
            "audio": st.none() | text | odd,
            "video": st.none() | text | odd,
            "start": seconds,
            "end": seconds,
            "labels": st.lists(text | odd, max_size=3),
            "subject": st.none() | text | odd,
            "split": st.sampled_from([None, None, None, "train", "val", "test", "", "dev"]),
        }
    )
    return draw(st.lists(row, max_size=4))


@some(150)
@given(clip_rows())
def test_a_clip_table_comes_back_as_it_was_or_says_what_is_wrong(rows):
    try:
        table = from_rows(rows)
    except UserError as e:
        assert len(str(e).splitlines()) == 1
        return
    for row in table.to_pylist():
        assert clip_table.CLIP_ID.fullmatch(row["clip_id"]) and row["split"] in (None, *clip_table.SPLITS)
        assert row["end"] is None or row["end"] > (row["start"] or 0.0) >= 0
    with tempfile.TemporaryDirectory() as place:
        pq.write_table(table, Path(place) / "clips.parquet")
        back = clip_table.read(Path(place) / "clips.parquet")
    assert back.equals(table) and back.to_pylist() == rows


@some(60)
@given(
    st.lists(clip_rows(), min_size=1, max_size=1), st.sampled_from(["clip_id", "labels", "start", "split"])
)
def test_another_table_is_told(rows, column):
    with pytest.raises(UserError):
        clip_table.check(pa.Table.from_pylist([], schema=clip_table.SCHEMA).drop_columns([column]), "t")


names = st.text(
    st.characters(codec="utf-8", exclude_characters="/\0", exclude_categories=("Cs",)), min_size=1, max_size=8
).filter(lambda n: n.strip() == n and n not in (".", "..") and len(n.encode()) < 60)
words = st.text(
    st.characters(codec="utf-8", exclude_characters="\0;", exclude_categories=("Cs",)), max_size=8
)


@some(100)
@given(
    st.lists(st.tuples(names, st.lists(words, max_size=3), words, ids), min_size=1, max_size=4), st.booleans()
)
def test_what_stands_in_a_clips_csv_comes_out(found, quoted):
    """Quotes, line ends, commas and any letter in paths, labels and names of people."""
    found = list({(f"{name}.mp4", row[-1]): (f"{name}.mp4", *row) for name, *row in found}.values())
    assume(len({row[-1] for row in found}) == len(found))
    file = io.StringIO(newline="")
    out = csv.writer(file, quoting=csv.QUOTE_ALL if quoted else csv.QUOTE_MINIMAL)
    out.writerow(["clip_id", "subject", "labels", "path"])
    for path, labels, subject, clip_id in found:
        out.writerow([clip_id, subject, ";".join(labels), path])
    with tempfile.TemporaryDirectory() as place:
        for path, *_ in found:
            Path(place, path).write_bytes(b"x")
        Path(place, "clips.csv").write_text(file.getvalue(), encoding="utf-8", newline="")
        table = folder.clips(SimpleNamespace(folder=place)).to_pylist()
    assert len(table) == len(found)
    for row, (path, labels, subject, clip_id) in zip(table, found, strict=True):
        assert (row["video"], row["clip_id"]) == (f"{place}/{path}", clip_id)
        assert row["subject"] == (subject.strip() or None)
        plain = [" ".join(label.split()) for label in ";".join(labels).strip().split(";")]
        assert row["labels"] == [label for label in dict.fromkeys(plain) if label]


cells = (
    st.sampled_from(
        ["path", "start", "labels", "a.mp4", "clip_id", ",", ";", '"', '""', "\n", "\r", "\t", "\0", " "]
    )
    | text
)
documents = st.lists(cells, max_size=14).map("".join) | text


@some(150)
@given(
    documents.map(lambda s: s.encode()) | st.binary(max_size=40),
    st.sampled_from([b"", b"path\n", b"path,start,end,split\n"]),
)
def test_any_clips_csv_is_read_or_told(content, head):
    with tempfile.TemporaryDirectory() as place:
        Path(place, "a.mp4").write_bytes(b"x")
        Path(place, "clips.csv").write_bytes(head + content)
        try:
            table = folder.clips(SimpleNamespace(folder=place))
        except UserError as e:
            assert str(e).startswith(place) and "line " in str(e)
            assert all(line.isprintable() for line in str(e).splitlines())
            return
        assert len(table) and all(os.path.exists(row["video"]) for row in table.to_pylist())


@some(60)
@given(st.floats() | st.integers(), st.sampled_from(["{}", "{:e}", "{:.3f}", "+{}", " {} ", "{}s"]))
def test_a_time_is_read_or_told(value, form):
    try:
        found = clips_csv._seconds(form.format(value))
    except ValueError:
        return
    assert found >= 0 and math.isfinite(found)


KNOWN = {"labels": "labels.csv", "ontology": "ontology.json", "classes": ["Speech"], "descendants": True}
LABELS = 'index,mid,display_name\n0,/m/a,"Speech"\n'
ONTOLOGY = json.dumps([{"id": "/m/a", "name": "Speech", "child_ids": []}])
lines = st.lists(
    st.sampled_from(
        [
            "a",
            "/m/a",
            "0.0",
            "10.0",
            ",",
            ", ",
            '"',
            "\n",
            "#",
            "1e999",
            "nan",
            "-1",
            "index,mid,display_name",
        ]
    )
    | text,
    max_size=14,
).map("".join)
nodes = st.recursive(
    st.none() | st.integers() | text | st.sampled_from(["id", "/m/a"]),
    lambda inner: (
        st.lists(inner, max_size=3)
        | st.dictionaries(st.sampled_from(["id", "name", "child_ids"]), inner, max_size=3)
    ),
    max_leaves=8,
)


@some(150)
@given(st.sampled_from(["train", "labels", "ontology"]), lines, nodes.map(json.dumps))
def test_any_list_of_audioset_is_read_or_told(which, listed, told):
    content = {"train": LABELS and listed, "labels": listed, "ontology": told}[which]
    with tempfile.TemporaryDirectory() as place:
        here = {"labels": LABELS, "ontology": ONTOLOGY, "train": ""} | {which: content}
        paths = {name: str(Path(place, name)) for name in here}
        for name, path in paths.items():
            Path(path).write_text(here[name], encoding="utf-8")
        try:
            wanted = SimpleNamespace(**KNOWN | {k: paths[k] for k in ("labels", "ontology")})
            classes = audioset_lists.Classes.read(wanted)
            found = list(audioset_lists.segments(paths["train"], "data.audioset.train", classes))
        except UserError as e:
            assert str(e).startswith("data.audioset.")
            return
        assert all(0 <= s.start < s.end < math.inf and s.mids == ["/m/a"] * len(s.mids) for s in found)


# --- parameters -----------------------------------------------------------------------------------------

OWN = yaml.load(defaults.PARAMS.read_text(encoding="utf-8"), params.Yaml)


def keys(values: dict, path: tuple = ()) -> list[tuple]:
    found = []
    for name, value in values.items():
        found.append((*path, name))
        if isinstance(value, dict):
            found += keys(value, (*path, name))
    return found


scalars = (
    st.none() | st.booleans() | st.integers() | st.floats() | text | odd | st.dates() | st.datetimes()
    | st.binary(max_size=4)
    | st.sampled_from([0, 1, -1, 2**63, 10**30, 1e-5, 1e308, "timm/x", "torchvision/resnet18", "cnn", "null"])
)  # fmt: skip
anything = st.recursive(
    scalars,
    lambda inner: (
        st.lists(inner, max_size=3) | st.dictionaries(text | st.integers() | st.none(), inner, max_size=3)
    ),
    max_leaves=6,
)


def read(values: object) -> Params:
    with tempfile.TemporaryDirectory() as place:
        path = Path(place, "params.yaml")
        path.write_text(yaml.dump(values, Dumper=yaml.CSafeDumper, sort_keys=False), encoding="utf-8")
        return params.read(path)


@some(150)
@given(st.sampled_from(keys(OWN)), anything, st.booleans())
def test_any_value_at_any_key_is_right_or_told(key, value, more):
    values = json.loads(json.dumps(OWN))
    *sections, last = key
    place = values
    for section in sections:
        place = place[section]
    place[f"{last}x" if more else last] = value
    try:
        found = read(values)
    except UserError as e:
        assert "params.yaml" in str(e) and len(str(e)) < 5000
        return
    assert read(found.model_dump()) == found  # what is right comes back as it is


@some(60)
@given(anything)
def test_any_file_is_right_or_told(value):
    with pytest.raises(UserError):
        read(value)


@some(100)
@given(st.dictionaries(st.sampled_from([".".join(k) for k in keys(OWN)]) | text | odd, anything, max_size=2))
def test_any_settings_of_a_table_are_right_or_told(changes):
    whole = Params.model_validate(OWN)
    try:
        found = params.applied(whole, changes, "params.yaml: grid.set")
    except UserError as e:
        assert str(e).startswith("params.yaml: grid.set")
        return
    assert isinstance(found, Params) and whole == Params.model_validate(OWN)


# --- shards ---------------------------------------------------------------------------------------------

EXTRA = (("seconds", pa.float64()), ("times", pa.list_(pa.float64())))
extras = st.fixed_dictionaries(
    {},
    optional={
        "seconds": st.floats(allow_nan=False),
        "times": st.lists(st.floats(allow_nan=False), max_size=2),
    },
)
arrays = st.lists(st.floats(width=16), min_size=6, max_size=6).map(
    lambda v: np.array(v, np.float16).reshape(2, 3)
)
blobs = st.binary(max_size=20)
pairs = st.fixed_dictionaries(
    {
        kind: st.none() | st.fixed_dictionaries({"bytes": st.none() | blobs, "path": st.none() | text})
        for kind in ("audio", "video")
    }
)
STORES = {
    "arrays": (Arrays((2, 3), "float16"), arrays),
    "sounds": (Files(("audio",)), blobs),
    "media": (Files(("audio", "video")), pairs),
}


@st.composite
def written(draw, values) -> list[Outcome]:
    reasons = st.sampled_from(sorted(STATUSES)).filter(lambda s: s != OK)
    good = st.builds(lambda value, detail, extra: Outcome(OK, detail, value, extra), values, text, extras)
    return draw(st.lists(good | st.builds(failed, reasons, text | odd), max_size=6))


def same(a: object, b: object) -> bool:
    return np.array_equal(a, b, equal_nan=True) if isinstance(a, np.ndarray) else a == b


@pytest.mark.parametrize("kind", STORES)
@some(60)
@given(st.data())
def test_a_shard_gives_back_what_it_was_given(kind, data):
    """Values, reasons and further columns; and again from `.old`, after the shards moved on."""
    store, values = STORES[kind]
    outcomes = data.draw(written(values))
    clips_ = [{"clip_id": f"c{i}"} for i in range(len(outcomes))]
    keys_ = [f"k{i}" for i in range(len(outcomes))]
    good = {c["clip_id"]: o.value for c, o in zip(clips_, outcomes, strict=True) if o.status == OK}
    with tempfile.TemporaryDirectory() as place:
        shards = Shards(Path(place, "a"), store, EXTRA)
        assert shards.prepare([keys_]) == [0]
        shards.settle(0, shards.write(0, clips_, keys_, outcomes))
        account = shards.read_account(shards.account(0))
        assert [r["clip_id"] for r in account.rows] == [c["clip_id"] for c in clips_]
        for row, outcome in zip(account.rows, outcomes, strict=True):
            assert (row["status"], row["detail"]) == (outcome.status, outcome.detail)
            assert all(row[name] == outcome.extra.get(name) for name, _ in EXTRA)
        back = shards.values(account)
        assert back.keys() == good.keys() and all(same(back[i], v) for i, v in good.items())
        assert len(shards.finish(1)) == len(clips_)
        final = [o.status not in RETRIED for o in outcomes]
        assert shards.prepare([keys_]) == ([] if outcomes and all(final) else [0])
        shards.prepare([["other"]])
        known = shards.reusable()
        assert known.keys() == {k for k, stays in zip(keys_, final, strict=True) if stays}
        recalled = shards.recall([known.get(k) for k in keys_])
        for found, outcome, stays in zip(recalled, outcomes, final, strict=True):
            assert (found is not None) == stays
            if stays:
                assert (found.status, found.detail) == (outcome.status, outcome.detail)
                assert same(found.value, outcome.value)
                assert found.extra == {name: outcome.extra.get(name) for name, _ in EXTRA}


@some(60)
@given(st.lists(arrays, min_size=2, max_size=2))
def test_digests_differ_where_values_do(two):
    a, b = two
    assert (Arrays.digest(a) == Arrays.digest(b)) == (a.tobytes() == b.tobytes())


# --- splits ---------------------------------------------------------------------------------------------


@st.composite
def groups_of_clips(draw, given_splits: bool = False) -> list[dict]:
    """Clips of some videos and people, in any order; with `given_splits`, a source's own for some."""
    count = draw(st.integers(1, 25))
    videos = draw(st.lists(st.integers(0, 8), min_size=count, max_size=count))
    own = {v: draw(st.sampled_from([None, "train", "val", "test"])) for v in sorted(set(videos))}
    return [
        {
            "clip_id": f"c{i}",
            "audio": f"v{v}.mp4",
            "video": f"v{v}.mp4",
            "labels": [],
            "subject": f"s{v // 2}",
        }
        | ({"split": draw(st.sampled_from([None, own[v]]))} if given_splits else {})
        for i, v in enumerate(videos)
    ]


def sides(rows: list[dict], **changes) -> dict[str, str]:
    how = SimpleNamespace(**{"by": "video", "own": True, "val": 0.2, "test": 0.3, "seed": 0} | changes)
    fine = {"status": "ok", "detail": "", "seconds": 2.0}
    index = pa.Table.from_pylist([{"clip_id": r["clip_id"]} | fine for r in rows])
    return {r["clip_id"]: r["split"] for r in assign(from_rows(rows), index, index, how, 1.0).to_pylist()}


@some(100)
@given(groups_of_clips(), st.randoms(), st.data(), st.sampled_from(["video", "subject"]), st.integers(0, 9))
def test_no_clip_moves_because_of_others(rows, random, data, by, seed):
    whole = sides(rows, by=by, seed=seed)
    mixed = random.sample(rows, len(rows))
    assert sides(mixed, by=by, seed=seed) == whole
    few = data.draw(st.lists(st.sampled_from(rows), min_size=1, unique_by=lambda r: r["clip_id"]))
    assert sides(few, by=by, seed=seed) == {r["clip_id"]: whole[r["clip_id"]] for r in few}


@some(100)
@given(groups_of_clips(given_splits=True), st.sampled_from(["video", "subject"]), st.integers(0, 9))
def test_no_group_is_on_two_sides(rows, by, seed):
    """By video, whatever the source says; by subject, unless the source itself puts one on two: an error."""
    column = "video" if by == "video" else "subject"
    said = {}
    for row in rows:
        said.setdefault(row[column], set()).update({row["split"]} - {None})
    torn = [name for name, splits in said.items() if len(splits) > 1]
    if torn:
        with pytest.raises(UserError, match="two sides"):
            sides(rows, by=by, seed=seed)
        return
    found = sides(rows, by=by, seed=seed)
    assert len({(r[column], found[r["clip_id"]]) for r in rows}) == len({r[column] for r in rows})
    assert all(found[r["clip_id"]] == r["split"] for r in rows if r["split"])


@some(20)
@given(st.floats(0.05, 0.45), st.floats(0.05, 0.45), st.integers(0, 2**32 - 1))
def test_shares_are_about_those_asked_for(val, test, seed):
    rows = [{"clip_id": f"c{i}", "video": f"v{i}.mp4", "labels": []} for i in range(1000)]
    found = list(sides(rows, val=val, test=test, seed=seed).values())
    for name, share in (("val", val), ("test", test), ("train", 1 - val - test)):
        assert abs(found.count(name) / 1000 - share) < 5 * math.sqrt(share * (1 - share) / 1000)


# --- metrics --------------------------------------------------------------------------------------------


@st.composite
def searched(draw) -> tuple[dict, list[list[str]], int]:
    """Vectors with many ties, whose distances floats hold exactly; labels, some with none."""
    n, dim = draw(st.integers(1, 14)), 4
    axes = np.vstack([np.eye(dim), -np.eye(dim), np.zeros(dim)]).astype(np.float32)
    choose = st.lists(st.integers(0, 2 * dim), min_size=n, max_size=n)
    embeddings = {side: axes[draw(choose)] * draw(st.sampled_from([1.0, 2.0])) for side in ("audio", "video")}
    labels = draw(st.lists(st.lists(st.sampled_from("abcd"), max_size=3), min_size=n, max_size=n))
    return embeddings, labels, draw(st.integers(0, 5))


def slow_retrieval(embeddings: dict, labels: list[list[str]], seed: int, direction: str) -> dict:
    """Definitions at the top of pipeline/metrics/retrieval.py, one query after the other."""
    source, target = retrieval.DIRECTIONS[direction]
    across, n = source != target, len(labels)
    unit = {s: [v / (np.linalg.norm(v) or 1) for v in embeddings[s].astype(float)] for s in embeddings}
    place = {int(j): rank for rank, j in enumerate(np.random.default_rng(seed).permutation(n))}
    found: dict[str, list[float]] = {m: [] for m in retrieval.METRICS}
    for i in range(n):
        near = sorted(
            range(n), key=lambda j: (round(sum((unit[source][i] - unit[target][j]) ** 2), 6), place[j])
        )
        others = [j for j in near if j != i]
        gains = [len(set(labels[i]) & set(labels[j])) for j in others]
        if across:
            for k in retrieval.KS:
                found[f"recall_{k}"].append(float(i in near[:k]))
        elif any(gains):
            for k in retrieval.KS:
                found[f"recall_{k}"].append(float(any(gains[:k])))
        if any(gains):
            cut = retrieval.CUT
            best = sorted(gains, reverse=True)
            dcg, ideal = (
                sum(g / math.log2(rank + 2) for rank, g in enumerate(order[:cut])) for order in (gains, best)
            )
            found[f"ndcg_{cut}"].append(dcg / ideal)
            hits, total = 0, 0.0
            for rank, g in enumerate(gains, 1):
                if g:
                    hits += 1
                    total += hits / rank
            found["map"].append(total / hits)
    return {m: sum(v) / len(v) if v else None for m, v in found.items()}


def equal(found: dict, slow: dict) -> None:
    for name, value in slow.items():
        assert found[name] == (None if value is None else pytest.approx(value, abs=2e-6)), name


@some(120)
@given(searched())
def test_retrieval_is_what_its_words_say(asked):
    embeddings, labels, seed = asked
    found = retrieval.evaluate(embeddings, labels, bootstrap=0, seed=seed)
    for direction in retrieval.DIRECTIONS:
        equal(found[direction], slow_retrieval(embeddings, labels, seed, direction))


@st.composite
def judged(draw, least: int = 1) -> tuple[np.ndarray, np.ndarray]:
    """Scores with ties, and what is true."""
    values = st.integers(-4, 4).map(lambda v: v / 4) | st.floats(-1e6, 1e6)
    found = draw(st.lists(st.tuples(values, st.booleans()), min_size=least, max_size=30))
    return np.array([v for v, _ in found]), np.array([m for _, m in found])


@some(150)
@given(judged(), st.integers(-4, 4).map(lambda v: v / 4))
def test_correspondence_is_what_its_words_say(pairs_, threshold):
    values, matches = pairs_
    found = bootstrap.correspondence(values, matches, threshold, bootstrap=0)
    right = [(v >= threshold) == m for v, m in zip(values, matches, strict=True)]
    assert found["accuracy"] == pytest.approx(sum(right) / len(right), abs=2e-6)
    yes, no = values[matches], values[~matches]
    wins = [1.0 if a > b else 0.5 if a == b else 0.0 for a in yes for b in no]
    assert found["auc"] == (pytest.approx(sum(wins) / len(wins), abs=2e-6) if wins else None)
    best = bootstrap.best_threshold(values, matches)
    tried = [sum((v >= t) == m for v, m in zip(values, matches, strict=True)) for t in [*values, np.inf]]
    assert sum((v >= best) == m for v, m in zip(values, matches, strict=True)) == max(tried)


@some(100)
@given(judged(2))
def test_errors_of_verification_are_what_their_words_say(trials):
    values, matches = trials
    assume(matches.any() and not matches.all())
    found = verification.evaluate(values, matches, bootstrap=0)
    points = []
    for t in [-np.inf, *sorted(set(values.tolist()))]:  # all up to t are refused
        miss = sum(v <= t for v in values[matches]) / matches.sum()
        false = sum(v > t for v in values[~matches]) / (~matches).sum()
        points.append((miss, false))
    share = verification.TARGET
    cost = min(share * miss + (1 - share) * false for miss, false in points) / min(share, 1 - share)
    assert found["min_dcf"] == pytest.approx(cost, abs=2e-6)
    for (m0, f0), (m1, f1) in zip(points, points[1:], strict=False):
        if m1 >= f1:
            part = (f0 - m0) / ((f0 - m0) + (m1 - f1)) if (f0 - m0) + (m1 - f1) else 0.0
            assert found["eer"] == pytest.approx(m0 + part * (m1 - m0), abs=2e-6)
            return
    raise AssertionError("the curves always cross")


@st.composite
def told(draw, many: bool) -> tuple[np.ndarray, np.ndarray]:
    n, c = draw(st.integers(1, 12)), draw(st.integers(2, 8))
    parts = st.integers(0, 5) if many else st.integers(1, 5)
    p = np.array(draw(st.lists(st.lists(parts, min_size=c, max_size=c), min_size=n, max_size=n)), float)
    p = p / 5 if many else p / p.sum(1, keepdims=True)
    if many:
        y = np.array(draw(st.lists(st.lists(st.booleans(), min_size=c, max_size=c), min_size=n, max_size=n)))
        y[0, 0] = True
    else:
        y = np.arange(c) == np.array(draw(st.lists(st.integers(0, c - 1), min_size=n, max_size=n)))[:, None]
    return p, y


@pytest.mark.parametrize("many", [False, True])
@some(100)
@given(st.data())
def test_classification_is_what_its_words_say(many, data):
    p, y = data.draw(told(many))
    n, c = p.shape
    found = classification.evaluate(p, y, many, bootstrap=0)
    said = [[p[i, k] > 0.5 if many else k == list(p[i]).index(max(p[i])) for k in range(c)] for i in range(n)]
    f1, precision = [], []
    for k in range(c):
        if not y[:, k].any():
            continue
        hit = sum(said[i][k] and y[i, k] for i in range(n))
        false = sum(said[i][k] and not y[i, k] for i in range(n))
        miss = sum(not said[i][k] and y[i, k] for i in range(n))
        f1.append(2 * hit / (2 * hit + false + miss))
        total, before = 0.0, 0.0
        for t in sorted(set(p[:, k]), reverse=True):
            taken = [i for i in range(n) if p[i, k] >= t]
            recall = sum(y[i, k] for i in taken) / y[:, k].sum()
            total += (recall - before) * sum(y[i, k] for i in taken) / len(taken)
            before = recall
        precision.append(total)
    slow = {"f1_macro": sum(f1) / len(f1), "map": sum(precision) / len(precision)}
    if not many:
        slow["accuracy"] = sum(said[i][k] and y[i, k] for i in range(n) for k in range(c)) / n
        sure = [(max(p[i]), any(said[i][k] and y[i, k] for k in range(c))) for i in range(n)]
    else:
        sure = [(max(p[i, k], 1 - p[i, k]), said[i][k] == y[i, k]) for i in range(n) for k in range(c)]
    bins: dict[int, list] = {}
    for confidence, right in sure:
        bins.setdefault(min(max(math.ceil(confidence * 15) - 1, 0), 14), []).append((confidence, right))
    gaps = [abs(sum(r for _, r in b) - sum(s for s, _ in b)) for b in bins.values()]
    slow["ece"] = sum(gaps) / len(sure)
    equal(found, slow)
