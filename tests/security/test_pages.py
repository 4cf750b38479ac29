"""HTML in names and labels stays text on every page."""

from types import SimpleNamespace

import numpy as np

from pipeline.report import experiment_page, galleries, page
from pipeline.sources import folder
from tests.pipeline.report.test_experiment_page import Page, example

HTML_NAMES = (
    "<img src=x onerror=alert(1)>",
    '"><svg onload=alert(1)>',
    "<script>alert(1)<",
    "'-alert(1)-'",
    "{{7*7}}",
)


def test_file_names_are_escaped(tmp_path):
    """HTML in names of folders and files is escaped in the report and in a search."""
    for name in HTML_NAMES:
        (tmp_path / "videos" / name).mkdir(parents=True)
        (tmp_path / "videos" / name / f"{name}.flv").write_bytes(b"x")
    table = folder.clips(SimpleNamespace(folder=str(tmp_path / "videos"), pair="none")).table.to_pylist()
    assert {label for row in table for label in row["labels"]} == set(HTML_NAMES)
    data = example(len(table))
    data.clips = {row["clip_id"]: clip | {"labels": row["labels"]}
                  for row, clip in zip(table, data.clips.values(), strict=True)}  # fmt: skip
    ids = list(data.clips)
    hits = [{"clip_id": i, "score": 0.5, "relevant": None} for i in ids]
    data.galleries = {"audio_to_video": [{"query": ids[0], "results": hits}]}
    data.classes, data.spectrograms = (
        {name: 3 for name in HTML_NAMES},
        {name: np.eye(8) for name in HTML_NAMES},
    )
    pages = [experiment_page.write_report(data, tmp_path / "report.html")]
    clips = galleries.encode_clips(data.galleries, data.clips)
    encoded_galleries = galleries.build_galleries(data.galleries, clips)
    values = {"name": f"{HTML_NAMES[0]}.flv", "total": 5, "galleries": encoded_galleries}
    pages.append(page.write_page(tmp_path / "search.html", "search.html", clips, **values))
    for path in pages:
        text = path.read_text(encoding="utf-8")
        html = Page(text)
        assert not [a for a in html.attributes if a[1].startswith("on")]
        assert not [a for a in html.attributes if a[0] == "img" and a[1] == "src" and a[2] == "x"]
        assert "<script>alert" not in text and HTML_NAMES[0] in " ".join(html.words)
        assert text.count("{{7*7}}") >= 1  # shown, and not computed
