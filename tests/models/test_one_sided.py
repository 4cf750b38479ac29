"""Clips with a sound or a picture alone: models of that modality learn from them and need nothing else."""

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from models import checkpoint
from models.evaluation import evaluation
from models.evaluation.result import Settings
from models.inference import index
from models.inference.search import Library
from models.training.experiment import select_input_params
from pipeline.dataset import dataset
from pipeline.dataset.statistics import compute_statistics
from pipeline.errors import UserError
from testing import toy

FOLDERS = {"audio": "spectrogram", "video": "frames"}
OTHER = {"audio": "video", "video": "audio"}
CLASSIFICATION = toy.PARAMS.classification.model_dump()


def remove_side(folder, side: str, is_removed) -> None:
    """Make a data set in which some clips lack a side. is_removed: number of a clip -> bool."""
    path = folder / FOLDERS[side] / "index.parquet"
    table = pq.read_table(path)
    rows = table.to_pylist()
    for i, row in enumerate(rows):
        if is_removed(i):
            lacking = dict.fromkeys(row) | {"clip_id": row["clip_id"], "shard": row["shard"]}
            rows[i] = lacking | {"status": f"no_{side}", "detail": "", "digest": ""}
    if all(row["row"] is None for row in rows):
        for shard in path.parent.glob("*.npy"):
            shard.unlink()
    pq.write_table(pa.Table.from_pylist(rows, table.schema), path)


def load(folder, modality: str) -> dataset.Dataset:
    return dataset.load(folder, toy.AUDIO, toy.VIDEO, modality=modality)


def experiment(modality: str, **changes):
    return toy.experiment(modality=modality, pairing="category", **changes)


@pytest.fixture(scope="module")
def folders(tmp_path_factory):
    """Folder -> data set of which no clip has the other side, by the side that it has."""
    folders = {}
    for side, other in OTHER.items():
        folders[side] = toy.write(tmp_path_factory.mktemp(side) / "data", kinds=4)
        table = pq.read_table(folders[side] / "clips.parquet")
        subjects = pa.array([f"person {i % 5}" for i in range(len(table))])
        pq.write_table(table.set_column(2, "subject", subjects), folders[side] / "clips.parquet")
        remove_side(folders[side], other, lambda i: True)
    return folders


@pytest.fixture
def inputs(monkeypatch):
    """The parameters from which the shape of the side that no clip has is computed."""
    inputs = select_input_params(toy.PARAMS)
    inputs["audio"] |= {"sample_rate": 1000, "hop_length": 10, "n_mels": 16}
    inputs["video"] |= {"height": 32, "width": 32}
    monkeypatch.setattr(toy, "INPUTS", inputs | {"clip_seconds": 0.4})


@pytest.mark.parametrize("side", ["audio", "video"])
@pytest.mark.parametrize("task", ["matching", "classification", "identification", "stack"])
def test_one_side_is_enough_for_training_evaluation_and_search(folders, tmp_path, inputs, side, task):
    data = load(folders[side], side)
    assert len(data) == 80 and data.has_side(side).all() and not data.has_side(OTHER[side]).any()
    label = "subject" if task == "identification" else "category"
    if task == "matching":
        trial = experiment(side, loss="infonce")
    else:
        settings = CLASSIFICATION | {"fusion": "stack" if task == "stack" else "concat"}
        trial = experiment(side, task="classification", label=label, classification=settings)
    toy.train(data, tmp_path, trial, epochs=1, augmentation=toy.AUGMENT)
    model = checkpoint.load(tmp_path / "out")
    assert model.config["audio_shape"] == [1, 16, 20] and model.config["video_shape"] == [1, 32, 32, 3]
    result = evaluation.evaluate(model, data, Settings("category", label, 100, 0))
    direction = f"{side}_to_{side}"
    if task == "matching":
        assert result.metrics.keys() == {"correspondence", "retrieval"}
        assert result.metrics["retrieval"].keys() == {direction}
    else:  # no clip has what `swapped` needs
        verification = {"verification"} if task == "identification" else set()
        assert result.metrics.keys() == {"classification"} | verification
        assert result.metrics["classification"]["n"] == 16
    root = tmp_path / "project"
    metrics = index.write_index(model, data, "flat", root / "data/embeddings", root / "data/index", 0)
    assert metrics.keys() == {direction} and metrics[direction]["n"] == 80
    library = Library.open(root, model)
    vectors = np.load(root / f"data/embeddings/{side}.npy")
    assert library.nearest(vectors[3], direction, 1)[0].clip_id == "clip003"


@pytest.fixture(scope="module")
def mixed(tmp_path_factory):
    """Clips of which a quarter each lacks sound and lacks picture, and the same clips with both."""
    whole = toy.write(tmp_path_factory.mktemp("whole") / "data", kinds=4)
    folder = toy.write(tmp_path_factory.mktemp("mixed") / "data", kinds=4)
    remove_side(folder, "audio", lambda i: i % 8 < 2)
    remove_side(folder, "video", lambda i: i % 8 in (2, 3))
    return folder, load(whole, "both")


def test_a_modality_takes_all_clips_that_have_it(mixed):
    folder, whole = mixed
    expected = {"both": (4, 5, 6, 7), "audio": (2, 3, 4, 5, 6, 7), "video": (0, 1, 4, 5, 6, 7)}
    for modality, kinds in expected.items():
        data = load(folder, modality)
        assert {int(clip[4:]) % 8 for clip in data.clip_id} == set(kinds)
        assert len(data) == 10 * len(kinds)
        clips = np.arange(len(data))
        windows = data.read(clips, 0.3)
        same = [whole.clip_id.index(clip) for clip in data.clip_id]
        for side, values, all_values in zip(FOLDERS, windows, whole.read(np.array(same), 0.3), strict=True):
            if modality in (side, "both"):
                assert np.array_equal(values, all_values)
            else:
                assert values.shape == (len(data), 0) and data.has_side(side).sum() == 40


def test_a_stack_of_one_modality_is_tried_on_the_other_where_it_is(mixed, tmp_path, inputs):
    data = load(mixed[0], "audio")
    settings = CLASSIFICATION | {"fusion": "stack"}
    toy.train(data, tmp_path, experiment("audio", task="classification", classification=settings), epochs=1)
    model = checkpoint.load(tmp_path / "out")
    metrics = evaluation.evaluate(model, data, Settings("category", "category", 100, 0)).metrics
    assert metrics["classification"]["n"] == 12 and metrics["swapped"]["n"] == 8


def test_statistics_are_those_of_the_sounds_that_are_there(mixed):
    folder, _ = mixed
    by_audio, by_video = (compute_statistics(load(folder, side)) for side in ("audio", "video"))
    assert (
        by_audio["clips"] == 36 and by_video["clips"] == 24 and abs(by_audio["mean"] - by_video["mean"]) < 1
    )


def test_no_clip_of_a_modality_is_one_line(folders):
    with pytest.raises(UserError, match="no clip has a picture: see status and detail"):
        load(folders["audio"], "video")
    with pytest.raises(UserError, match="no clip has both sound and picture"):
        load(folders["video"], "both")


def test_the_other_side_sets_no_limit_to_windows(tmp_path):
    folder = toy.write(tmp_path / "data")
    path = folder / "frames/index.parquet"
    table = pq.read_table(path)
    pq.write_table(table.set_column(6, "seconds", pa.array([0.25] * len(table))), path)
    assert set(load(folder, "both").seconds) == {0.25} and set(load(folder, "audio").seconds) == {0.4}
