"""Write every clip's embeddings and an index for searching them."""

from models.inference import distributed
from models.inference import index as embedding_index
from pipeline.cli import run
from pipeline.config import load
from pipeline.dataset import dataset
from pipeline.store.metric_files import write_json


def index() -> None:
    params = load("index")
    data = dataset.load("data", params.audio, params.video, params.input)
    with distributed.open_model("checkpoints", params.engine) as model:
        metrics = embedding_index.write_index(
            model, data, params.index.kind, "data/embeddings", "data/index", params.seed
        )
    write_json(metrics, "metrics/index.json")
    recalls = ", ".join(f"{name} {m['recall_10']:.3f}" for name, m in metrics.items())
    print(f"index: {len(data)} clips, {next(iter(metrics.values()))['kind']}; recall@10 {recalls}")


if __name__ == "__main__":
    run(index)
