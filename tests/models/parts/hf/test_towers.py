"""Networks of `transformers` compute what the whole model does, and are built again without its files."""

import json
import shutil

import numpy as np
import pytest
import torch
import transformers
from safetensors.torch import load_file, save_file

from models import checkpoint
from models.audio import encoders as audio_encoders
from models.video import encoders as video_encoders
from pipeline.errors import UserError
from testing import hf_models
from testing.hf_models import FRAMES_SHAPE, HOP, RATE, SOUND_SHAPE
from testing.untrained import build_untrained_model

FAMILIES = [*hf_models.SOUND, *hf_models.PICTURE]
SQUARE = (2, 32, 32, 3)  # of a window whose frames need no scaling


def make(family, **keywords):
    torch.manual_seed(1)
    registry, shape = (
        (audio_encoders, SOUND_SHAPE) if family in hf_models.SOUND else (video_encoders, FRAMES_SHAPE)
    )
    return registry.make(hf_models.make_name(family), shape, 6, **keywords).eval()


def windows(family, n=2, shape=FRAMES_SHAPE):
    rng = np.random.default_rng(2)
    if family in hf_models.SOUND:
        return torch.from_numpy(rng.normal(0, 0.1, (n, *SOUND_SHAPE)).astype(np.float32))
    return torch.from_numpy(rng.integers(0, 256, (n, *shape)).astype(np.uint8))


def whole(family, model_class):
    folder = hf_models.make_name(family).removeprefix("hf/")
    return getattr(transformers, model_class).from_pretrained(folder).eval(), folder


def project_by_clap(model, inputs):
    outputs = model.audio_model(inputs["input_features"], is_longer=torch.zeros(2, 1))
    return model.audio_projection(outputs.pooler_output)


# --- the same as the whole model computes with its own preprocessing --------------------------------------


@torch.no_grad()
@pytest.mark.parametrize(
    ("family", "model_class", "pooling", "compute"),
    [
        ("ast", "ASTModel", "class", lambda model, x: model(**x).pooler_output),
        ("ast", "ASTModel", "mean", lambda model, x: model(**x).last_hidden_state[:, 2:].mean(1)),
        ("clap", "ClapModel", None, lambda model, x: project_by_clap(model, x)),
        ("clap", "ClapModel", "mean", lambda model, x: model.audio_model(**x).pooler_output),
        ("clap_fused", "ClapModel", None, lambda model, x: project_by_clap(model, x)),
        ("hubert", "HubertModel", "mean", lambda model, x: model(**x).last_hidden_state.mean(1)),
        ("pe_audio", "PeAudioModel", None, lambda model, x: model.get_audio_embeds(x["input_values"])),
        ("wav2vec2", "Wav2Vec2Model", None, lambda model, x: model(**x).last_hidden_state.mean(1)),
        ("wavlm", "WavLMModel", None, lambda model, x: model(**x).last_hidden_state.mean(1)),
        ("whisper", "WhisperModel", None, lambda model, x: model.encoder(**x).last_hidden_state.mean(1)),
    ],
)
def test_a_tower_hears_what_its_model_does(family, model_class, pooling, compute):
    model, folder = whole(family, model_class)
    extractor = transformers.AutoFeatureExtractor.from_pretrained(folder)
    x = windows(family)
    samples = x[:, 0].transpose(1, 2).flatten(1)
    inputs = [extractor(s.numpy(), sampling_rate=RATE, return_tensors="pt") for s in samples]
    inputs = {
        key: torch.cat([i[key].float() for i in inputs]) for key in inputs[0] if key.startswith("input")
    }
    expected = compute(model, inputs)
    encoder = make(family, pooling=pooling)
    actual = encoder.compute_features(x)
    assert actual.shape == (2, encoder.n_features)
    torch.testing.assert_close(actual, expected, atol=1e-4, rtol=1e-3)
    torch.testing.assert_close(encoder(x), encoder.project(actual))


@torch.no_grad()
@pytest.mark.parametrize(
    ("family", "model_class", "pooling", "compute"),
    [
        ("clip", "CLIPModel", None, lambda model, x: model.get_image_features(**x).pooler_output),
        ("clip", "CLIPVisionModel", "class", lambda model, x: model(**x).pooler_output),
        ("dinov2", "Dinov2Model", None, lambda model, x: model(**x).last_hidden_state[:, 0]),
        ("dinov2_registers", "Dinov2WithRegistersModel", None, lambda model, x: model(**x).pooler_output),
        ("dinov3", "DINOv3ViTModel", None, lambda model, x: model(**x).pooler_output),
        ("dinov3", "DINOv3ViTModel", "mean", lambda model, x: model(**x).last_hidden_state[:, 3:].mean(1)),
        ("dinov3_convnext", "DINOv3ConvNextModel", None, lambda model, x: model(**x).pooler_output),
        ("siglip", "SiglipModel", None, lambda model, x: model.get_image_features(**x).pooler_output),
        ("siglip", "SiglipModel", "projection", lambda model, x: model.get_image_features(**x).pooler_output),
        ("siglip2", "Siglip2Model", None, lambda model, x: model.get_image_features(**x).pooler_output),
        ("vit", "ViTModel", None, lambda model, x: model(**x).last_hidden_state[:, 0]),
        ("vit_mae", "ViTMAEModel", "mean", lambda model, x: model(**x).last_hidden_state[:, 1:].mean(1)),
    ],
)
def test_a_tower_sees_what_its_model_does(family, model_class, pooling, compute):
    model, folder = whole(family, model_class)
    model.config.mask_ratio = 0.0
    processor = transformers.AutoImageProcessor.from_pretrained(folder)
    x = windows(family, shape=SQUARE)
    options = {} if family == "siglip2" else {"size": {"height": 32, "width": 32}}
    expected = compute(model, processor([*x[:, 1].movedim(-1, 1)], return_tensors="pt", **options))
    actual = video_encoders.make(hf_models.make_name(family), SQUARE, 6, pooling=pooling).eval()
    torch.testing.assert_close(actual.compute_features(x), expected, atol=1e-5, rtol=1e-4)


@torch.no_grad()
def test_videomae_sees_all_frames():
    model, folder = whole("videomae", "VideoMAEModel")
    processor = transformers.AutoImageProcessor.from_pretrained(folder)
    x = windows("videomae", shape=SQUARE)
    inputs = processor([list(video.numpy()) for video in x], size={"shortest_edge": 32}, return_tensors="pt")
    encoder = video_encoders.make(hf_models.make_name("videomae"), SQUARE, 6).eval()
    expected = model(**inputs).last_hidden_state.mean(1)
    torch.testing.assert_close(encoder.compute_features(x), expected, atol=1e-5, rtol=1e-4)
    with pytest.raises(UserError, match=r"sees 2 frames: set video.window_frames: 2 .*, not 1"):
        video_encoders.make(hf_models.make_name("videomae"), (1, 32, 32, 3), 6)


@torch.no_grad()
def test_both_sides_of_pe_av(tmp_path):
    folder = hf_models.write_pe_audio_video(tmp_path / "pe")
    model = transformers.PeAudioVideoModel.from_pretrained(folder).eval()
    sound, pictures = windows("pe_audio"), windows("pe_video", shape=SQUARE)
    audio = audio_encoders.make(f"hf/{folder}", SOUND_SHAPE, 6).eval()
    video = video_encoders.make(f"hf/{folder}", SQUARE, 6).eval()
    samples = sound[:, 0].transpose(1, 2).reshape(2, 1, -1)
    expected = model.audio_model.audio_head(model.audio_model.audio_encoder(samples).pooler_output)
    torch.testing.assert_close(audio.compute_features(sound), expected, atol=1e-5, rtol=1e-4)
    frames = (pictures.movedim(-1, 2) / 255 - 0.5) / 0.5
    expected = model.video_model.video_head(model.video_model.video_encoder(frames).pooler_output)
    torch.testing.assert_close(video.compute_features(pictures), expected, atol=1e-5, rtol=1e-4)
    assert audio.n_features == video.n_features == 24  # one space


@torch.no_grad()
@pytest.mark.parametrize("family", ["ast", "clap", "whisper"])
def test_inputs_are_computed_in_single_precision(family):
    encoder, x, inputs = make(family), windows(family), []
    encoder.trunk.register_forward_pre_hook(lambda _, arguments: inputs.append(arguments[0]))
    encoder(x)
    with torch.autocast("cpu", torch.bfloat16):
        encoder(x.bfloat16().float())
        encoder(x)
    assert inputs[2].dtype == torch.float32 and torch.equal(inputs[0], inputs[2])


# --- without the files ------------------------------------------------------------------------------------


@pytest.mark.parametrize("family", FAMILIES)
def test_a_definition_is_json_and_enough(family):
    encoder = make(family)
    definition = json.loads(json.dumps(encoder.definition))
    assert "/" not in json.dumps(definition).replace("and/or", "")  # no path of this machine
    registry, shape = (
        (audio_encoders, SOUND_SHAPE) if family in hf_models.SOUND else (video_encoders, FRAMES_SHAPE)
    )
    other = registry.make("hf/no/where", shape, 6, pretrained=False, definition=definition).eval()
    other.load_state_dict(encoder.state_dict())
    with torch.no_grad():
        assert torch.equal(encoder(windows(family)), other(windows(family)))


def test_a_saved_model_needs_no_files(tmp_path):
    folders = {family: hf_models.write(tmp_path / family, family) for family in ("hubert", "clip")}
    model = build_untrained_model(
        SOUND_SHAPE,
        FRAMES_SHAPE,
        audio_encoder=f"hf/{folders['hubert']}",
        video_encoder=f"hf/{folders['clip']}",
        sizes={"video": {"trainable": 1}},
    )
    checkpoint.save(tmp_path / "model", model.module, model.config)
    for folder in folders.values():
        shutil.rmtree(folder)
    loaded = checkpoint.load(tmp_path / "model")
    sound, pictures = windows("hubert"), windows("clip")
    assert np.array_equal(loaded.embed_audio(sound), model.embed_audio(sound))
    assert np.array_equal(loaded.embed_video(pictures), model.embed_video(pictures))
    assert "definition" not in model.config["encoders"]["video"]


# --- sizes ------------------------------------------------------------------------------------------------


@torch.no_grad()
@pytest.mark.parametrize("family", ["clip", "dinov2", "dinov3", "siglip", "siglip2", "vit", "vit_mae"])
def test_another_size_of_pictures(family):
    name = hf_models.make_name(family)
    encoder = video_encoders.make(name, FRAMES_SHAPE, 6, input_size=24).eval()
    assert encoder(windows(family)).shape == (2, 6)
    assert not torch.allclose(encoder(windows(family)), make(family)(windows(family)))
    with pytest.raises(UserError, match="input_size: 25: .* needs a multiple of 8"):
        video_encoders.make(name, FRAMES_SHAPE, 6, input_size=25)


def test_a_size_that_the_network_cannot_have_is_one_line():
    with pytest.raises(UserError, match="input_size: 24: .* needs null"):
        video_encoders.make(hf_models.make_name("videomae"), FRAMES_SHAPE, 6, input_size=24)


@pytest.mark.parametrize(
    ("family", "columns", "message"),
    [
        ("hubert", 0, "hears at least 20 samples, a window has 0"),
        ("whisper", 102, "hears 1 to 16000 samples, a window has 16320: change audio.window_seconds"),
    ],
)
def test_a_window_of_another_length_is_one_line(family, columns, message):
    with pytest.raises(UserError, match=message):
        audio_encoders.make(hf_models.make_name(family), (1, HOP, columns), 6)


@pytest.mark.parametrize(
    ("feature", "rate"), [("mel", RATE), ("waveform", 8000), ("mel", 8000), ("waveform", RATE)]
)
def test_the_sound_must_be_the_models(feature, rate):
    name = hf_models.make_name("hubert")
    if (feature, rate) == ("waveform", RATE):
        assert audio_encoders.make(name, SOUND_SHAPE, 6, feature=feature, sample_rate=rate)
        return
    with pytest.raises(UserError) as e:
        audio_encoders.make(name, SOUND_SHAPE, 6, feature=feature, sample_rate=rate)
    assert str(e.value).endswith("set audio.feature: waveform and audio.sample_rate: 16000")


def test_pooling_that_the_family_lacks_is_one_line():
    with pytest.raises(
        UserError, match=r"pooling: attention: hf/.* \(clip_vision_model\) has projection, cl"
    ):
        make("clip", pooling="attention")


# --- files that are missing or wrong ----------------------------------------------------------------------


def test_offline_the_error_says_which_files(monkeypatch, tmp_path):
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_OFFLINE", True)
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_CACHE", str(tmp_path))
    with pytest.raises(UserError) as e:
        video_encoders.make("hf/openai/clip-vit-base-patch32", FRAMES_SHAPE, 6)
    message = str(e.value)
    assert "\n" not in message and message.startswith("hf/openai/clip-vit-base-patch32: ")
    assert "config.json, preprocessor_config.json and model.safetensors" in message
    assert message.endswith("into a folder, and name it hf/PATH")


@pytest.fixture
def clip(tmp_path):
    return hf_models.write(tmp_path / "clip", "clip")


def test_only_json_and_safetensors_are_downloaded(clip, monkeypatch):
    patterns = []

    def pull(repo, revision, files):
        patterns.extend(files)
        return clip

    monkeypatch.setattr("models.hub.pull", pull)
    assert video_encoders.make("hf/user/clip-of-theirs", FRAMES_SHAPE, 6)
    assert patterns and all(name.endswith((".json", ".safetensors")) for name in patterns)


def test_files_of_another_kind_are_one_line(clip, tmp_path):
    cases = []
    for file in ("config.json", "preprocessor_config.json", "model.safetensors"):
        folder = tmp_path / file
        shutil.copytree(clip, folder)
        (folder / file).unlink()
        cases.append((folder, f"lacks {file}"))
    torn, strange, poor = (tmp_path / name for name in ("torn", "strange", "poor"))
    for folder in (torn, strange, poor):
        shutil.copytree(clip, folder)
    (torn / "config.json").write_text("{")
    (strange / "config.json").write_text('{"model_type": "bert"}')
    weights = load_file(poor / "model.safetensors")
    weights.pop("visual_projection.weight")
    save_file(weights, poor / "model.safetensors", metadata={"format": "pt"})
    cases += [
        (torn, "config.json"),
        (strange, "its model_type is bert; here there are clip, clip_vision_model"),
        (poor, "1 are missing or of another shape, such as visual_projection.weight"),
        (tmp_path / "none", "neither a folder nor an id user/name"),
    ]
    for folder, message in cases:
        with pytest.raises(UserError) as e:
            video_encoders.make(f"hf/{folder}", FRAMES_SHAPE, 6)
        assert message in str(e.value) and "\n" not in str(e.value), folder


def test_nothing_is_printed(clip, capfd, recwarn):
    video_encoders.make(f"hf/{clip}", FRAMES_SHAPE, 6)
    for family in ("ast", "whisper"):
        audio_encoders.make(hf_models.make_name(family), SOUND_SHAPE, 6)
    video_encoders.make(hf_models.make_name("pe_video"), FRAMES_SHAPE, 6)
    assert capfd.readouterr() == ("", "") and not recwarn
