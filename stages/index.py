"""The stage index: write the embeddings of every clip, and indexes with which they can be searched."""

from models.inference import distributed
from models.inference import index as embedding_index
from pipeline.cli import run
from pipeline.config import load
from pipeline.dataset import dataset
from pipeline.store.metric_files import write_json


def index() -> None:
    """Embed every clip, index the embeddings, and measure the recall of the indexes against exact search."""
    params = load("index")
    sections = params.audio, params.video, params.input
    data = dataset.load("data", *sections, with_features=True, modality=params.modality)
    with distributed.open_model("checkpoints", params.engine) as model:
        # For each direction of search: kind of index, number of vectors, recall.
        metrics_by_direction = embedding_index.write_index(
            model, data, params.index.kind, "data/embeddings", "data/index", params.seed
        )
    write_json(metrics_by_direction, "metrics/index.json")
    recalls = ", ".join(
        f"{direction} {metrics['recall_10']:.3f}" for direction, metrics in metrics_by_direction.items()
    )
    kind = next(iter(metrics_by_direction.values()))["kind"]  # the same for all directions
    print(f"index: {len(data)} clips, {kind}; recall@10 {recalls}")


if __name__ == "__main__":
    run(index)
