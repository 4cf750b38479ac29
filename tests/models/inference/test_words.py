"""Words as queries, with a tiny random CLIP: a text takes the place of a picture."""

import json
import shutil

import numpy as np
import pytest
import torch

from app import model as page_model
from app.search import search, search_text
from models import checkpoint
from models.evaluation import zero_shot
from models.inference import index, words
from models.inference.search import Library
from models.parts.cached import CachedEncoder
from models.parts.text import TextEncoder
from pipeline.errors import UserError
from testing import hf_models, toy
from testing.in_process import run_command

transformers = pytest.importorskip("transformers")
VOCABULARY = ["<unk>", "<s>", "</s>", "<pad>", "a", "photo", "of", *(f"kind{k}" for k in range(toy.KINDS))]


def write_tokenizer(folder):
    """Write a tokenizer of whole words."""
    from tokenizers import Tokenizer, models, pre_tokenizers, processors

    tokenizer = Tokenizer(models.WordLevel({word: i for i, word in enumerate(VOCABULARY)}, unk_token="<unk>"))
    tokenizer.pre_tokenizer = pre_tokenizers.Whitespace()
    tokenizer.post_processor = processors.TemplateProcessing(
        single="<s> $A </s>", special_tokens=[("<s>", 1), ("</s>", 2)]
    )
    fast = transformers.PreTrainedTokenizerFast(
        tokenizer_object=tokenizer, unk_token="<unk>", pad_token="<pad>", bos_token="<s>", eos_token="</s>"
    )
    fast.save_pretrained(folder)


def write_clip(folder):
    """Write a CLIP with random weights, a tokenizer, and its preprocessing."""
    write_tokenizer(folder)
    sizes = {"hidden_size": 16, "intermediate_size": 32, "num_hidden_layers": 2, "num_attention_heads": 2}
    text = sizes | {"vocab_size": len(VOCABULARY), "max_position_embeddings": 12, "eos_token_id": 2}
    config = transformers.CLIPConfig(
        text_config=text | {"bos_token_id": 1, "pad_token_id": 3},
        vision_config=sizes | {"image_size": 32, "patch_size": 8, "projection_dim": 12},
        projection_dim=12,
    )
    torch.manual_seed(0)
    transformers.CLIPModel(config).eval().save_pretrained(folder)
    preprocessor = {
        "image_processor_type": "CLIPImageProcessor",
        "size": {"shortest_edge": 32},
        "crop_size": {"height": 32, "width": 32},
        "image_mean": [0.5, 0.5, 0.5],
        "image_std": [0.5, 0.5, 0.5],
        "do_normalize": True,
        "do_rescale": True,
        "rescale_factor": 1 / 255,
        "do_resize": True,
        "do_center_crop": True,
        "resample": 3,
    }
    (folder / "preprocessor_config.json").write_text(json.dumps(preprocessor))
    return folder


@pytest.fixture(scope="module")
def clip_folder(tmp_path_factory):
    return write_clip(tmp_path_factory.mktemp("clip"))


@pytest.fixture(scope="module")
def project(clip_folder, tmp_path_factory):
    """A project whose pictures go through that CLIP, and whose sounds through an encoder from scratch."""
    root = tmp_path_factory.mktemp("words")
    data_folder = toy.write(root / "data")
    networks = {"video": {f"hf/{clip_folder}": {"pooling": "projection"}}}
    towers = toy.write_features(data_folder, networks=networks)
    data = toy.load(data_folder, with_features=True)
    sizes = {"audio": {"width": 8}, "video": {"hidden": 16}, "joint": {}}
    names = toy.experiment(video_encoder="cached", towers=towers, encoders=sizes)
    toy.train(data, root, names, epochs=2)
    shutil.move(root / "out", root / "checkpoints")
    model = checkpoint.load(root / "checkpoints")
    index.write_index(model, data, "flat", root / "data/embeddings", root / "data/index", 0)
    return root, data, model


def test_texts_are_those_of_transformers(clip_folder):
    texts = ["a photo of kind3", "kind5"]
    vectors = TextEncoder(f"hf/{clip_folder}")(texts)
    model = transformers.CLIPModel.from_pretrained(clip_folder).eval()
    tokenizer = transformers.AutoTokenizer.from_pretrained(clip_folder)
    for text, vector in zip(texts, vectors, strict=True):  # one by one: nothing is padded
        with torch.no_grad():
            expected = model.get_text_features(**tokenizer([text], return_tensors="pt")).pooler_output[0]
        assert torch.allclose(vector, expected / expected.square().mean().sqrt(), atol=1e-4)


@pytest.mark.parametrize("family", ["clap", "siglip"])
def test_texts_of_other_families(family, tmp_path):
    folder = hf_models.write(tmp_path / family, family)
    write_tokenizer(folder)
    vector = TextEncoder(f"hf/{folder}")(["a photo of kind3"])[0]
    model = transformers.AutoModel.from_pretrained(folder).eval()
    padding = {"padding": "max_length", "max_length": 64} if family == "siglip" else {}
    tokens = transformers.AutoTokenizer.from_pretrained(folder)(
        "a photo of kind3", return_tensors="pt", **padding
    )
    with torch.no_grad():
        output = model.get_text_features(input_ids=tokens["input_ids"])
    expected = output.pooler_output[0]
    assert torch.allclose(vector, expected / expected.square().mean().sqrt(), atol=1e-4)


def test_a_text_takes_the_place_of_a_sound(tmp_path):
    """With CLAP as a tower for sound, the head of the sounds maps texts."""
    folder = hf_models.write(tmp_path / "clap", "clap")
    write_tokenizer(folder)
    data_folder = toy.write(tmp_path / "data")
    networks = {"audio": {f"hf/{folder}": {"pooling": "projection"}}}
    towers = toy.write_features(data_folder, networks=networks)
    data = toy.load(data_folder, with_features=True)
    sizes = {"audio": {"hidden": 16}, "video": {}, "joint": {}}
    names = toy.experiment(audio_encoder="cached", towers=towers, encoders=sizes)
    toy.train(data, tmp_path, names, epochs=1)
    model = checkpoint.load(tmp_path / "out")
    side, embeddings = words.embed_texts(model, ["kind1", "kind2"])
    assert side == "audio"
    with torch.no_grad():
        expected = model.module.embed_audio(TextEncoder(f"hf/{folder}")(["kind1", "kind2"])[:, None])
    assert np.allclose(embeddings, expected.numpy(), atol=1e-5)


def test_a_text_takes_the_place_of_a_picture(project):
    _, data, model = project
    assert words.text_side(model) == "video"
    side, embeddings = words.embed_texts(model, ["kind1", "kind2"])
    assert side == "video" and embeddings.shape == (2, 16)
    assert np.allclose(np.linalg.norm(embeddings, axis=1), 1, atol=1e-5)
    # The same numbers as features of a picture give the same embedding.
    [(name, _)] = model.config["features"]["video"]["towers"].items()
    vectors = TextEncoder(name)(["kind1", "kind2"])
    with torch.no_grad():
        expected = model.module.embed_video(vectors[:, None])
    assert np.allclose(embeddings, expected.numpy(), atol=1e-5)
    assert isinstance(model.module.video, CachedEncoder)


def test_search_by_words(project):
    root, _, model = project
    library = Library.open(root, model)
    results = search_text(library, "a photo of kind3", None, 5)
    assert set(results) == {"text_to_audio", "text_to_video"}
    side, embedding = library.embed_text("a photo of kind3")
    for direction, hits in results.items():
        vectors = np.load(root / f"data/embeddings/{direction.removeprefix('text_to_')}.npy")
        best = np.argsort(-(vectors @ embedding), kind="stable")[:5]
        assert {hit.row for hit in hits} == set(best.tolist())
    assert set(search_text(library, "kind3", "audio", 5)) == {"text_to_audio"}


def test_the_page_and_the_terminal_search_by_words(project, tmp_path):
    root, _, model = project
    expected = search_text(Library.open(root, model), "kind3", None, 5)
    results = dict(page_model.search_by_text(str(root), "kind3", "both", 5))
    assert {key: [row for row, _ in hits] for key, hits in results.items()} == {
        key: [hit.row for hit in hits] for key, hits in expected.items()
    }
    status, output, error = run_command(search, root, "--text", "kind3", "--json", "-k", "5")
    assert status == 0, error
    [entry] = json.loads(output)
    assert entry["text"] == "kind3" and entry["results"].keys() == expected.keys()
    status, output, _ = run_command(search, root, "--text", "kind3", "--find", "audio")
    assert status == 0 and "kind3: text to audio" in output


def test_zero_shot_classification_by_hand(project):
    _, data, model = project
    templates = ("a photo of {label}", "{label}")
    metrics = zero_shot.evaluate(model, data, "category", templates, bootstrap=100, seed=0)
    classes = [f"kind{k}" for k in range(toy.KINDS)]
    means = []
    for name in classes:
        _, embeddings = words.embed_texts(model, [t.replace("{label}", name) for t in templates])
        means.append(embeddings.mean(0) / np.linalg.norm(embeddings.mean(0)))
    clips = data.indices("test")
    for side, vectors in zip(("audio", "video"), model.embed(data, clips), strict=True):
        predictions = (vectors @ np.array(means).T).argmax(1)
        truth = [int(data.labels[clip][0].removeprefix("kind")) for clip in clips]
        assert metrics[side]["accuracy"] == pytest.approx(np.mean(predictions == truth), abs=1e-6)
        assert metrics[side]["chance"]["accuracy"] == pytest.approx(1 / toy.KINDS)
        assert metrics[side]["n"] == len(clips) and "accuracy" in metrics[side]["ci"]


def test_a_model_without_words_says_what_to_do(tmp_path, data):
    toy.train(data, tmp_path, epochs=1)
    model = checkpoint.load(tmp_path / "out")
    with pytest.raises(UserError, match=r"does not understand words: train one with video_encoder: cached"):
        words.embed_texts(model, ["a bell"])
    with pytest.raises(UserError, match=r"does not understand words"):
        zero_shot.evaluate(model, data, "category", ("{label}",), 100, 0)


def test_a_missing_text_side_is_one_line(tmp_path):
    with pytest.raises(UserError) as error:
        TextEncoder(f"hf/{tmp_path}")
    assert "\n" not in str(error.value) and "its text side cannot be loaded" in str(error.value)


def test_a_template_needs_a_place_for_the_label():
    with pytest.raises(ValueError, match="has no {label}"):
        toy.PARAMS.override({"evaluate.zero_shot": ["a photo"]})
