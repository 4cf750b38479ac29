"""One page that shows the experiment: report/index.html."""

from pipeline import gather, plots
from pipeline import report as page
from pipeline.params import load
from stages import run


def report() -> None:
    params = load("report")
    data = gather.gather(params.listed())
    plots.save_spectrograms("metrics/spectrograms.jpg", data.spectrograms, params.data.clip_seconds)
    print(f"report: {page.build(data, 'report/index.html')}")


if __name__ == "__main__":
    run(report)
