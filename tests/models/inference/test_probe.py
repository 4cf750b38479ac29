"""Linear probing: its accuracy is that of scikit-learn on the network's own vectors."""

import numpy as np
import pytest
import torch
from rich.console import Console
from sklearn.linear_model import LogisticRegression
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

from app.probe import print_table
from models.inference.probe import OUTPUT, REGULARIZATIONS, probe
from models.video import encoders
from pipeline.errors import UserError

NETWORKS = {"timm/test_resnet": {}, "timm/test_vit": {}}


def test_the_output_is_probed_as_by_hand(data):
    results = list(probe(data, "video", NETWORKS, "category", 100, 0))
    assert {r.network for r in results} == set(NETWORKS)
    for name in NETWORKS:
        layers = [r.layer for r in results if r.network == name]
        assert layers[-1] == OUTPUT and 2 <= len(layers) == len(set(layers)) <= 5
    [result] = [r for r in results if (r.network, r.layer) == ("timm/test_resnet", OUTPUT)]
    torch.manual_seed(0)
    encoder = encoders.make("timm/test_resnet", data.video_shape, 1, trainable="none").eval()
    vectors, truth = {}, {}
    for split in ("train", "val", "test"):
        clips = data.indices(split)
        with torch.no_grad():
            vectors[split] = encoder.compute_features(torch.from_numpy(data.read(clips)[1])).numpy()
        truth[split] = np.array([data.labels[clip][0] for clip in clips])
    models = [
        make_pipeline(StandardScaler(), LogisticRegression(C=c, max_iter=1000)).fit(
            vectors["train"], truth["train"]
        )
        for c in REGULARIZATIONS
    ]
    best = max(models, key=lambda model: model.score(vectors["val"], truth["val"]))
    assert result.metrics["accuracy"] == pytest.approx(best.score(vectors["test"], truth["test"]))
    assert result.n_features == vectors["test"].shape[1] and result.metrics["n"] == len(truth["test"])
    console = Console(width=120, record=True)
    print_table(results, console)
    assert f"{result.metrics['accuracy']:.3f}" in console.export_text()


def test_sound_is_probed_too(data):
    [*_, result] = probe(data, "audio", {"timm/test_resnet": {}}, "category", 100, 0)
    assert result.layer == OUTPUT and result.metrics["accuracy"] > 0.3  # chance is 0.125


def test_too_few_classes_are_one_line(data):
    with pytest.raises(UserError, match="label: subject: .* 1 classes: too few"):
        list(probe(data, "video", NETWORKS, "subject", 100, 0))
