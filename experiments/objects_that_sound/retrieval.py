"""Train L3-Net and AVE-Net with several seeds, and compare them in retrieval."""

from experiments import retrieval_rows
from experiments.objects_that_sound import table
from experiments.study import FOLDER, Stopwatch, StudyOnProjectData, load_stage, write_results
from models.evaluation import trial
from pipeline.cli import run
from pipeline.dataset import dataset

SYSTEM = "objects_that_sound"
MODELS = FOLDER / SYSTEM / "models"


def retrieval() -> None:
    """Run the study: train both networks with each seed, and write metrics.json and the table."""
    stopwatch = Stopwatch(MODELS)
    params, study = load_stage(SYSTEM, "retrieval", StudyOnProjectData)
    data = dataset.load("data", params.audio, params.video, params.input)
    train, test = data.indices("train"), data.indices("test")
    embeddings: dict[str, list] = {method: [] for method in table.METHODS}  # of each seed, for test clips
    for seed in study.seeds:
        for method, matcher in table.MATCHERS.items():
            print(f"retrieval: {method} with seed {seed}", flush=True)
            model, _ = trial.run(params, data, MODELS / f"{matcher}-{seed}", matcher=matcher, seed=seed)
            train_embeddings, test_embeddings = (
                dict(zip(("audio", "video"), model.embed(data, clips), strict=True))
                for clips in (train, test)
            )
            embeddings[method].append(test_embeddings)
            if method == table.L3_NET:
                aligned = table.align(train_embeddings, test_embeddings, params.train.embedding_dim)
                embeddings[table.L3_NET_CCA].append(aligned)
    clip_labels = data.class_names(params.label)
    labels, groups = [clip_labels[i] for i in test], data.group[test].tolist()
    metrics = {
        "run": stopwatch.record(FOLDER / SYSTEM / "metrics.json"),
        "about": {"train_clips": len(train), "epochs": params.train.epochs}
        | {key: getattr(params, key) for key in ("audio_encoder", "video_encoder", "loss", "pairing")},
        "results": retrieval_rows.evaluate(
            embeddings, labels, groups, params.evaluate.bootstrap, params.seed
        ),
    }
    write_results(FOLDER / SYSTEM, metrics, table.markdown(metrics))
    ndcg = metrics["results"][table.AVE_NET]["audio_to_video"]["ndcg_30"]
    print(f"retrieval: AVE-Net, sound to picture: nDCG@30 {ndcg:.3f}")


if __name__ == "__main__":
    run(retrieval)
