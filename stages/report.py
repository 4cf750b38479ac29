"""One page that shows the experiment: report/index.html."""

from pipeline.cli import run
from pipeline.config import load
from pipeline.report import data as gather
from pipeline.report import experiment_page as page
from pipeline.report import plots


def report() -> None:
    params = load("report")
    data = gather.gather(params.to_dict())
    plots.save_spectrograms("metrics/spectrograms.jpg", data.spectrograms, params.data.clip_seconds)
    print(f"report: {page.build(data, 'report/index.html')}")


if __name__ == "__main__":
    run(report)
