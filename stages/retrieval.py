"""The retrieval table of Objects that Sound: L3-Net, with CCA, and AVE-Net, each with several seeds."""

from pathlib import Path

from models.evaluation import trial
from pipeline import retrieval_table as table
from pipeline.cli import run
from pipeline.config import load
from pipeline.dataset import dataset
from pipeline.store.metric_files import write_json

MATCHERS = {"concat": "L3-Net", "distance": "AVE-Net"}


def retrieval() -> None:
    params = load("retrieval", table="retrieval")
    data = dataset.load("data", params.audio, params.video, params.input)
    train, test = data.of("train"), data.of("test")
    models: dict[str, list] = {row: [] for row in table.ROWS}
    for seed in params.retrieval.seeds:
        for matcher, row in MATCHERS.items():
            print(f"retrieval: {row} with seed {seed}", flush=True)
            out = f"grid/retrieval/{matcher}-{seed}"
            model, _ = trial.run(params, data, out, matcher=matcher, seed=seed)
            sides = [model.embed(data, clips) for clips in (train, test)]
            known, asked = (dict(zip(("audio", "video"), both, strict=True)) for both in sides)
            models[row].append(asked)
            if row == "L3-Net":
                models["L3-Net with CCA"].append(table.aligned(known, asked, params.train.embedding_dim))
    labels = data.kinds(params.label)
    named, groups = [labels[i] for i in test], data.group[test].tolist()
    found = table.table(models, named, groups, params.evaluate.bootstrap, params.seed)
    write_json(found, "metrics/retrieval.json")
    about = (
        f"{len(train)} clips train, for {params.train.epochs} epochs; encoders `{params.audio_encoder}` and"
        f" `{params.video_encoder}`, `loss: {params.loss}`, `pairing: {params.pairing}`; sizes stand in"
        " `params.yaml`, section `retrieval`."
    )
    Path("docs").mkdir(exist_ok=True)
    Path("docs/retrieval.md").write_text(table.markdown(found, about), encoding="utf-8")
    best = found["AVE-Net"]["audio_to_video"]["ndcg_30"]
    print(f"retrieval: AVE-Net, sound to picture: nDCG@30 {best:.3f}")


if __name__ == "__main__":
    run(retrieval)
