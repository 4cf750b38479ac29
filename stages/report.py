"""Write the page of the experiment: report/index.html."""

from pipeline.cli import run
from pipeline.config import load
from pipeline.report import experiment_page, plots
from pipeline.report.data import collect


def report() -> None:
    params = load("report")
    data = collect(params.to_dict())
    plots.save_spectrograms("metrics/spectrograms.jpg", data.spectrograms, params.data.clip_seconds)
    print(f"report: {experiment_page.build(data, 'report/index.html')}")


if __name__ == "__main__":
    run(report)
