"""The stage report: write the page of the experiment, report/index.html."""

from pipeline.cli import run
from pipeline.config import load
from pipeline.report import experiment_page, plots
from pipeline.report.data import collect_report_data


def report() -> None:
    """Collect the results of all stages, and write the page and its picture of spectrograms."""
    params = load("report")
    data = collect_report_data(params.to_dict())
    plots.save_spectrograms("metrics/spectrograms.jpg", data.spectrograms, params.data.clip_seconds)
    print(f"report: {experiment_page.write_report(data, 'report/index.html')}")


if __name__ == "__main__":
    run(report)
