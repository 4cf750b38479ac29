"""The section of the page about sound localization."""

import numpy as np

from pipeline.metrics import localization
from pipeline.metrics.localization import negatives
from pipeline.metrics.localization.negatives import NEGATIVES
from pipeline.report import experiment_page
from pipeline.report.data import ReportData
from pipeline.report.localization import prepare_localization

BOX = [0.0, 0.0, 0.5, 1.0]


def metrics():
    maps = np.array([[[0.9, 0.1]], [[0.9, 0.2]]])
    truth = np.array([[[1.0, 0.0]]] * 2)
    section = localization.evaluate(maps, [(BOX, None), (BOX, [0.5, 0.0, 1.0, 1.0])], 20, 0, maps)
    one = negatives.evaluate({"sound": maps, **dict.fromkeys(NEGATIVES, maps)}, truth, 0.5, 20, 0)
    baseline = {key: value for key, value in one.items() if key not in ("noise", "off_screen", "agreement")}
    silent = negatives.evaluate_negatives(maps, 0.5, 20, 0) | {"centre": baseline["silence"]}
    return section | {
        "one_threshold": one | {"centre": baseline, "object": baseline},
        "no_source": {"silent": silent, "off_screen": None},
    }


def test_baselines_stand_beside_every_number(tmp_path):
    data = ReportData(metrics={"localization": metrics()})
    boxes, thresholds, no_source = prepare_localization(data)["tables"]
    model, centre, thing = "the model", "the centre of the frame", "an object, without the sound"
    names = [row["name"] for row in boxes["rows"]]
    assert names == [model, centre, thing, "the silent instrument", model, centre, thing]
    assert [len(row["cells"]) for row in thresholds["rows"]] == [len(thresholds["columns"])] * 3
    cells = dict(zip(thresholds["columns"], thresholds["rows"][0]["cells"], strict=True))
    assert cells["IoU"] == ("1.000", [1, 1]) and cells["Same map off screen"][0] == "1.000"
    assert thresholds["rows"][1]["cells"].count(None) == 3  # the same for every sound that it does not hear
    assert [row["clips"] for row in no_source["rows"]] == ["silent"] * 2
    page = experiment_page.write_report(data, tmp_path / "index.html").read_text()
    assert page.count("<h2>Sound localization</h2>") == 1 and "Clips in which nothing in view sounds" in page


def test_without_localization_there_is_no_section():
    assert prepare_localization(ReportData()) is None
    empty = {"all": None, "two_in_view": None, "one_threshold": None, "no_source": None}
    assert prepare_localization(ReportData(metrics={"localization": empty})) is None
