"""The task classification: it learns, reports clips that it leaves out, and is evaluated."""

from dataclasses import replace

import numpy as np
import pytest
import sklearn.utils.class_weight
import torch
from torch.nn import functional as F

from models import checkpoint
from models.evaluation import classifier, evaluation
from models.evaluation.result import Settings
from models.inference import index
from models.tasks.classification import Classification
from pipeline.errors import UserError
from testing import toy

SETTINGS = toy.PARAMS.classification.model_dump()


def experiment(label="category", modality="both", **settings):
    return toy.experiment(
        task="classification", modality=modality, label=label, classification=SETTINGS | settings
    )


def fit(out, data, experiment, **settings):
    summary = toy.train(data, out, experiment, **{"epochs": 14} | settings)
    return checkpoint.load(out / "out"), summary


@pytest.mark.parametrize("fusion", ["concat", "stack"])
@pytest.mark.parametrize("modality", ["both", "audio", "video"])
def test_it_learns_and_is_evaluated(data, tmp_path, modality, fusion):
    model, summary = fit(tmp_path, data, experiment(modality=modality, fusion=fusion))
    assert {"train/loss", "val/loss", "val/accuracy", "val/f1_macro"} <= summary.keys()
    result = evaluation.evaluate(model, data, Settings("clip", "category", 100, 0))
    metrics = result.metrics["classification"]
    assert (
        metrics["accuracy"] > 0.6
        and metrics["n"] == 16
        and metrics["ci"]["accuracy"][0] > metrics["chance"]["accuracy"]
    )
    rest = {"both": {"without"}, "audio": set(), "video": set()}[modality]
    rest |= {"swapped"} if fusion == "stack" and modality != "both" else set()
    assert result.metrics.keys() == {"classification"} | rest
    right = [row["actual"] == row["predicted"] for row in result.confusion]
    assert np.mean(right) == pytest.approx(metrics["accuracy"], abs=1e-6)
    assert [row["clip_id"] for row in result.confusion] == [data.clip_id[i] for i in data.indices("test")]
    assert [row["class"] for row in result.per_class] == model.config["classes"]
    assert sum(row["n"] for row in result.per_class) == sum(row["n"] for row in result.calibration) == 16
    audio, video = model.embed(data, data.indices("test"))
    assert np.allclose(np.linalg.norm(audio, axis=1), 1, atol=1e-5) and audio.shape == video.shape == (16, 16)


def test_a_stack_of_both_has_one_vector_a_clip(data, tmp_path):
    model, _ = fit(tmp_path, data, experiment(fusion="stack"), epochs=1)
    metrics = index.write_index(model, data, "flat", tmp_path / "embeddings", tmp_path / "index", 0)
    assert metrics.keys() == {"both_to_both"} and metrics["both_to_both"]["recall_10"] == 1.0
    assert {p.name for p in (tmp_path / "embeddings").iterdir()} == {"both.npy", "clips.parquet"}
    vectors = np.load(tmp_path / "embeddings/both.npy")
    assert np.allclose(vectors[data.indices("test")], model.embed(data, data.indices("test"))[0], atol=1e-6)


def test_a_blanked_modality_is_not_read(data, tmp_path):
    model, _ = fit(tmp_path, data, experiment(), epochs=1)
    test = data.indices("test")
    audio, video = data.read(test)
    silent = torch.zeros_like(torch.from_numpy(audio))
    with torch.inference_mode():
        expected = model.module(silent, torch.from_numpy(video)).numpy()
    assert np.allclose(model.logits(data, test, blank="audio"), expected, atol=1e-5)
    assert not np.allclose(model.logits(data, test), expected, atol=1e-6)


def test_the_stack_of_one_modality_reads_the_other_too(data, tmp_path):
    model, _ = fit(tmp_path, data, experiment(modality="audio", fusion="stack"), epochs=1)
    test = data.indices("test")
    audio, video = (torch.from_numpy(x) for x in data.read(test))
    with torch.inference_mode():
        expected = model.module.head(model.module.fusion.video(video)).numpy()
        pictures = model.module.fusion.spectrograms_to_images(audio)
    assert np.allclose(model.logits(data, test, swapped=True), expected, atol=1e-5)
    assert pictures.shape == video.shape and 0 <= pictures.min() < pictures.max() <= 255


def test_a_sound_becomes_a_picture_with_its_low_notes_below(data, tmp_path):
    module = Classification(
        {
            "modality": "audio",
            "video_encoder": "frame",
            "encoders": {"audio": {}, "video": {}},
            "classes": ["a", "b"],
            "weights": None,
            "classification": SETTINGS | {"fusion": "stack"},
        },
        (1, 8, 10),
        (2, 32, 40, 3),
        toy.settings(),
    )
    sound = torch.full((1, 1, 8, 10), -80.0)
    sound[:, :, 0] = -20.0  # the lowest band
    picture = module.fusion.spectrograms_to_images(sound)
    assert picture.shape == (1, 2, 32, 40, 3) and torch.equal(picture[:, 0], picture[:, 1])
    assert picture[0, 0, -4:].min() > picture[0, 0, :24].max()


def test_losses_are_those_of_the_formulas():
    config = {
        "modality": "audio",
        "audio_encoder": "cnn_small",
        "encoders": {"audio": {}, "video": {}},
        "classes": ["a", "b", "c"],
        "weights": [1.0, 2.0, 0.5],
        "classification": SETTINGS | {"label_smoothing": 0.3},
    }
    logits = torch.tensor([[1.0, 2.0, -1.0], [0.0, 0.5, 3.0]])
    target = torch.tensor([[0.0, 1.0, 0.0], [1.0, 0.0, 0.0]])
    smooth = target * 0.7 + 0.1
    one = Classification(config, (1, 8, 10), (1, 16, 16, 3), toy.settings())
    parts = -(logits.log_softmax(1) * smooth * torch.tensor(config["weights"])).sum(1)
    assert one.compute_loss(logits, target).item() == pytest.approx(parts.mean().item(), rel=1e-5)
    config["classification"] = config["classification"] | {"multilabel": True}
    multilabel = Classification(config, (1, 8, 10), (1, 16, 16, 3), toy.settings())
    p, y, w = logits.sigmoid(), target * 0.7 + (1 - target) * 0.1, torch.tensor(config["weights"])
    expected = -(w * y * p.log() + (1 - y) * (1 - p).log()).mean()
    assert multilabel.compute_loss(logits, target).item() == pytest.approx(expected.item(), rel=1e-5)


def test_class_weights_are_scikit_learns(data):
    rows = np.flatnonzero(
        (data.split != "train") | (np.arange(len(data)) % 8 != 0) | (np.arange(len(data)) < 17)
    )
    labels = [names if i in rows else [] for i, names in enumerate(data.labels)]
    fewer = replace(data, columns=data.columns | {"labels": labels})
    plan = Classification.plan(experiment(class_weights=True), fewer)
    kinds = [labels[i][0] for i in plan.clips["train"]]
    expected = sklearn.utils.class_weight.compute_class_weight("balanced", classes=np.unique(kinds), y=kinds)
    assert plan.config_entries["weights"] == pytest.approx(expected.tolist())
    assert Classification.plan(experiment(), fewer).config_entries["weights"] is None


def test_mixup_mixes_sound_picture_and_label_by_one_share(data, tmp_path):
    model, _ = fit(tmp_path, data, experiment(mixup=0.4), epochs=2)
    n = 6
    level = torch.arange(n, dtype=torch.float32)
    audio = level.view(-1, 1, 1, 1).expand(n, 1, 4, 5)
    video = (level * 40).view(-1, 1, 1, 1, 1).expand(n, 1, 8, 8, 3).to(torch.uint8)
    torch.manual_seed(3)
    sound, picture, label = model.module.mix_up(audio, video, F.one_hot(torch.arange(n)).float())
    assert picture.dtype == torch.uint8 and torch.allclose(label.sum(1), torch.ones(n))
    assert torch.allclose(sound[:, 0, 0, 0], label @ level, atol=1e-5)
    assert (picture[:, 0, 0, 0, 0] - label @ level * 40).abs().max() <= 0.5 + 1e-4
    assert not torch.equal(sound[:, 0, 0, 0], level)


def test_several_labels(data, tmp_path):
    both = [[f"kind{i % 8}", f"half{i % 2}"] for i in range(len(data))]
    more = replace(data, columns=data.columns | {"labels": both})
    model, summary = fit(tmp_path, more, experiment(multilabel=True), epochs=20)
    assert "val/map" in summary and len(model.config["classes"]) == 10
    result = evaluation.evaluate(model, more, Settings("clip", "category", 100, 0))
    metrics = result.metrics["classification"]
    assert (
        metrics["map"] > 2 * metrics["chance"]["map"] and not result.confusion and len(result.per_class) == 10
    )
    assert metrics["map"] > 0.6


def test_clips_without_one_label_are_left_out_and_reported(data, capsys):
    labels = [[] if i < 3 else ["a", "b"] if i < 5 else names for i, names in enumerate(data.labels)]
    plan = Classification.plan(experiment(), replace(data, columns=data.columns | {"labels": labels}))
    assert len(plan.clips["train"]) == 43
    assert "5 of 80 clips are left out: 3 have no label, 2 several" in capsys.readouterr().out


def test_classes_that_training_lacks_are_left_out_and_reported(data, capsys):
    odd = [["new"] if i == 70 else names for i, names in enumerate(data.labels)]
    plan = Classification.plan(experiment(), replace(data, columns=data.columns | {"labels": odd}))
    assert "new" not in plan.config_entries["classes"] and len(plan.clips["test"]) == 15
    assert "1 of 16 test clips are of classes that training has no clip of" in capsys.readouterr().out


def test_people_who_are_not_in_training_are_verified(data, tmp_path):
    people = [f"{split}{i % 4}" for i, split in enumerate(data.split)]
    strangers = replace(data, columns=data.columns | {"subject": people})
    model, _ = fit(tmp_path, strangers, experiment(label="subject"), epochs=2)
    metrics = evaluation.evaluate(model, strangers, Settings("clip", "subject", 100, 0)).metrics
    assert metrics.keys() == {"verification"} and metrics["verification"].keys() == {"audio", "video", "both"}
    assert metrics["verification"]["both"]["n"] == 16 * 15 / 2
    same_people = replace(data, columns=data.columns | {"subject": [f"p{i % 4}" for i in range(len(data))]})
    model, _ = fit(tmp_path / "known", same_people, experiment(label="subject"), epochs=12)
    metrics = evaluation.evaluate(model, same_people, Settings("clip", "subject", 100, 0)).metrics
    assert metrics.keys() == {"classification", "without", "verification"}
    assert metrics["classification"]["accuracy"] > 0.5


def test_any_column_of_the_clip_table_is_a_label(data, tmp_path):
    emotional = replace(
        data, columns=data.columns | {"emotion": ["sad" if i % 2 else "happy" for i in range(80)]}
    )
    plan = Classification.plan(experiment(label="emotion"), emotional)
    assert plan.config_entries["classes"] == ["happy", "sad"]
    with pytest.raises(UserError, match="label: emotoin: .* did you mean emotion"):
        Classification.plan(experiment(label="emotoin"), emotional)


def test_one_class_is_not_enough(data):
    same = replace(data, columns=data.columns | {"labels": [["a"]] * len(data)})
    with pytest.raises(UserError, match="at least 2 classes"):
        Classification.plan(experiment(), same)


def test_other_data_than_the_models_are_refused(data, tmp_path):
    model, _ = fit(tmp_path, data, experiment(), epochs=1)
    other = replace(data, columns=data.columns | {"labels": [["x", "y"][i % 2 :][:1] for i in range(80)]})
    with pytest.raises(UserError, match="other classes"):
        classifier.evaluate(model, other, Settings("clip", "category", 100, 0))


def test_an_encoder_that_gives_a_map_is_refused(data, tmp_path):
    with pytest.raises(UserError, match="use it with task: matching"):
        fit(tmp_path, data, toy.experiment(task="classification", video_encoder="avolnet"))


def test_several_frame_positions_are_averaged(data, tmp_path):
    """The result is the mean of the probabilities, not of the logits."""
    model, _ = fit(tmp_path, data, experiment(modality="video"), epochs=2)
    test = data.indices("test")
    each = [model.logits(data, test, frame_position=(i + 0.5) / 8).astype(float) for i in range(8)]
    softmax = [np.exp(x) / np.exp(x).sum(1, keepdims=True) for x in each]
    assert np.allclose(classifier.probabilities(model, data, test, frames=8), np.mean(softmax, 0), atol=1e-6)
    assert not np.allclose(each[0], each[-1])


def test_a_part_of_the_labels_is_drawn_by_the_seed(data):
    few = [Classification.plan(replace(experiment(labels=0.25), seed=s), data).clips for s in (0, 0, 1)]
    assert [len(clips["train"]) for clips in few] == [12, 12, 12]
    assert np.array_equal(few[0]["train"], few[1]["train"])
    assert not np.array_equal(few[0]["train"], few[2]["train"])
    whole = Classification.plan(experiment(), data).clips
    assert set(few[0]["train"]) < set(whole["train"])
    for clips in few:  # no class is lost
        assert {tuple(data.labels[i]) for i in clips["train"]} == {(f"kind{k}",) for k in range(toy.KINDS)}
    least = Classification.plan(experiment(labels=0.01), data).clips["train"]
    assert len(least) == toy.KINDS
