"""HTML in names and labels stays text on every page."""

from types import SimpleNamespace

import numpy as np

from pipeline.report import experiment_page, galleries, page
from pipeline.sources import folder
from tests.pipeline.report.test_experiment_page import Page, example

EVIL = (
    "<img src=x onerror=alert(1)>",
    '"><svg onload=alert(1)>',
    "<script>alert(1)<",
    "'-alert(1)-'",
    "{{7*7}}",
)


def test_no_name_of_a_file_is_markup(tmp_path):
    """Folders and files that are called like HTML, through the clip table into the report and a search."""
    for name in EVIL:
        (tmp_path / "videos" / name).mkdir(parents=True)
        (tmp_path / "videos" / name / f"{name}.flv").write_bytes(b"x")
    table = folder.clips(SimpleNamespace(folder=str(tmp_path / "videos"))).to_pylist()
    assert {label for row in table for label in row["labels"]} == set(EVIL)
    data = example(len(table))
    data.clips = {row["clip_id"]: clip | {"labels": row["labels"]}
                  for row, clip in zip(table, data.clips.values(), strict=True)}  # fmt: skip
    ids = list(data.clips)
    hits = [{"clip_id": i, "score": 0.5, "relevant": None} for i in ids]
    data.galleries = {"audio_to_video": [{"query": ids[0], "results": hits}]}
    data.classes, data.spectrograms = {name: 3 for name in EVIL}, {name: np.eye(8) for name in EVIL}
    pages = [experiment_page.build(data, tmp_path / "report.html")]
    shown = galleries.encode_clips(data.galleries, data.clips)
    lists_ = galleries.build_galleries(data.galleries, shown)
    found = {"name": f"{EVIL[0]}.flv", "total": 5, "galleries": lists_}
    pages.append(page.write(tmp_path / "search.html", "search.html", shown, **found))
    for path in pages:
        text = path.read_text(encoding="utf-8")
        parsed = Page(text)
        assert not [a for a in parsed.attributes if a[1].startswith("on")]
        assert not [a for a in parsed.attributes if a[0] == "img" and a[1] == "src" and a[2] == "x"]
        assert "<script>alert" not in text and EVIL[0] in " ".join(parsed.words)
        assert text.count("{{7*7}}") >= 1  # shown, and not computed
