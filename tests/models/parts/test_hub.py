"""Networks of timm and torchvision: their weights, from where they come, and what is trained of them."""

import numpy as np
import pytest
import safetensors.torch
import timm
import torch
import torchvision
from torch.nn import functional as F

from models import checkpoint
from models.audio import encoders as audio_encoders
from models.parts import hub
from models.parts.hub import Trunk
from models.video import encoders as video_encoders
from pipeline.config import ROOT
from pipeline.errors import UserError
from testing.untrained import build_untrained_model

NAME = "timm/test_resnet"


@pytest.fixture
def weights(tmp_path):
    """Write weights as published ones: for three channels, with a classifier."""
    torch.manual_seed(1)
    net = timm.create_model("test_resnet", num_classes=10)
    safetensors.torch.save_file(net.state_dict(), tmp_path / "w.safetensors")
    torch.save(net.state_dict(), tmp_path / "w.pth")
    return net.eval(), tmp_path


@pytest.mark.parametrize("suffix", ["safetensors", "pth"])
def test_weights_come_from_a_file(weights, suffix):
    net, folder = weights
    trunk = Trunk(NAME, 3, (64, 64), str(folder / f"w.{suffix}"), input_size=64).eval()
    x = torch.randn(2, 3, 64, 64)
    with torch.no_grad():
        expected = net.forward_head(net.forward_features(x), pre_logits=True)
        assert torch.allclose(trunk(x), expected, atol=1e-5)


def test_weights_of_three_channels_are_summed_for_one(weights):
    """A grey picture has the same output as in three equal channels."""
    net, folder = weights
    trunk = Trunk(NAME, 1, (64, 64), str(folder / "w.safetensors"), input_size=64).eval()
    x = torch.randn(2, 1, 64, 64)
    with torch.no_grad():
        expected = net.forward_head(net.forward_features(x.expand(2, 3, 64, 64)), pre_logits=True)
        assert torch.allclose(trunk(x), expected, atol=1e-4)


def test_a_trunk_computes_what_torchvision_does(tmp_path):
    torch.manual_seed(1)
    net = torchvision.models.resnet18(weights=None).eval()
    torch.save(net.state_dict(), tmp_path / "w.pth")
    trunk = Trunk("torchvision/resnet18", 3, (64, 64), str(tmp_path / "w.pth"), input_size=64).eval()
    net.fc = torch.nn.Identity()
    x = torch.randn(2, 3, 64, 64)
    with torch.no_grad():
        assert torch.allclose(trunk(x), net(x), atol=1e-5)


# --- the inputs that the network was trained with ---------------------------------------------------------


def test_pretrained_networks_get_their_own_size_and_colours(weights):
    net, folder = weights
    folder.joinpath("test_resnet.safetensors").write_bytes((folder / "w.safetensors").read_bytes())
    video = torch.randint(0, 256, (2, 1, 60, 80, 3), dtype=torch.uint8)
    encoder = video_encoders.make(NAME, (1, 60, 80, 3), 8, pretrained=str(folder)).eval()
    _, *size = net.pretrained_cfg["input_size"]
    mean, std = (torch.tensor(net.pretrained_cfg[key]).view(3, 1, 1) for key in ("mean", "std"))
    images = ((video[:, 0].movedim(-1, 1) / 255) - mean) / std
    images = F.interpolate(images, size, mode="bilinear", antialias=True)
    with torch.no_grad():
        expected = net.forward_head(net.forward_features(images), pre_logits=True)
        assert torch.allclose(encoder.compute_features(video), expected, atol=1e-4)
    with pytest.raises(UserError, match="no such file"):
        video_encoders.make(NAME, (1, 60, 80, 3), 8, pretrained=str(folder.parent))


@pytest.mark.parametrize("name", ["timm/tf_efficientnet_lite0", "torchvision/mobilenet_v2"])
def test_random_networks_get_frames_as_they_are(name):
    trunk = Trunk(name, 3, (64, 64))
    assert trunk.input_size is None and trunk.definition["mean"] == [0.485, 0.456, 0.406]
    assert Trunk(name, 3, (64, 64), input_size=32).input_size == [32, 32]


@pytest.mark.parametrize("name", ["googlenet", "inception_v3"])
def test_colours_of_networks_that_transform_their_input(name):
    """torchvision's own function of such a network, on the colours of its transforms."""
    net = torchvision.models.get_model(name, weights=None, init_weights=False)
    definition = hub._describe_torchvision(f"torchvision/{name}", net)
    assert definition["mean"] == pytest.approx([0.5] * 3) and definition["std"] == pytest.approx([0.5] * 3)
    assert definition["input_size"] == ([299, 299] if name == "inception_v3" else [224, 224])
    assert not net.transform_input


def test_a_transformer_of_torchvision_is_built_for_its_size():
    trunk = Trunk("torchvision/vit_b_32", 3, (64, 64), input_size=96)
    assert trunk.net.image_size == 96 and trunk.n_features == 768


def test_a_size_that_the_network_cannot_have_is_one_line():
    with pytest.raises(UserError, match=r"timm/test_vit: does not take images of \[50, 50\]"):
        Trunk("timm/test_vit", 3, (64, 64), input_size=50)


@pytest.mark.parametrize("encoder", [NAME, "cnn_avg"])
def test_a_saved_model_keeps_the_inputs(weights, encoder, tmp_path):
    _, folder = weights
    sizes = {"pretrained": str(folder / "w.safetensors")} | ({"trunk": NAME} if encoder == "cnn_avg" else {})
    model = build_untrained_model(
        video_shape=(2, 40, 48, 3), video_encoder=encoder, sizes={"video": sizes, "audio": {"width": 8}}
    )
    checkpoint.save(tmp_path / "model", model.module, model.config)
    (folder / "w.safetensors").unlink()
    x = torch.randint(0, 256, (3, 2, 40, 48, 3), dtype=torch.uint8)
    expected = model.embed_video(x)
    assert np.array_equal(checkpoint.load(tmp_path / "model").embed_video(x), expected)


# --- real weights -----------------------------------------------------------------------------------------


@pytest.fixture
def real_weights():
    folder = ROOT.parent / "shared" / "weights"
    if not folder.exists():
        pytest.skip("no ../shared/weights")
    return str(folder)


def test_efficientnet_sees_a_daisy(real_weights):
    """With ImageNet's colours it does not: it was trained with a mean and a deviation of 0.5."""
    datasets = pytest.importorskip("sklearn.datasets")
    flower = torch.from_numpy(datasets.load_sample_image("flower.jpg").copy())[None, None]
    name = "timm/tf_efficientnet_lite0"
    encoder = video_encoders.make(name, tuple(flower.shape[1:]), 8, pretrained=real_weights).eval()
    assert encoder.definition == {"mean": [0.5] * 3, "std": [0.5] * 3, "input_size": [224, 224]}
    state = safetensors.torch.load_file(f"{real_weights}/tf_efficientnet_lite0.safetensors")
    with torch.no_grad():
        logits = encoder.compute_features(flower) @ state["classifier.weight"].T + state["classifier.bias"]
    categories = torchvision.models.MobileNet_V2_Weights.DEFAULT.meta["categories"]
    assert categories[logits.argmax()] == "daisy"


@pytest.mark.parametrize("name", ["mobilenet_v2", "squeezenet1_1"])
def test_real_weights_of_torchvision(real_weights, name):
    encoder = video_encoders.make(f"torchvision/{name}", (1, 90, 90, 3), 8, pretrained=real_weights).eval()
    state = safetensors.torch.load_file(f"{real_weights}/{name}.safetensors")
    net = torchvision.models.get_model(name, weights=None).eval()
    net.load_state_dict(state, strict=False)
    frames = torch.randint(0, 256, (2, 1, 90, 90, 3), dtype=torch.uint8)
    transforms = torchvision.models.get_model_weights(name).DEFAULT.transforms()
    mean, std = (torch.tensor(x).view(3, 1, 1) for x in (transforms.mean, transforms.std))
    images = F.interpolate(frames[:, 0].movedim(-1, 1) / 255, (224, 224), mode="bilinear", antialias=True)
    with torch.no_grad():
        maps = net.features((images - mean) / std)
        maps = maps if name == "mobilenet_v2" else maps.relu()
        assert torch.allclose(encoder.compute_features(frames), maps.mean((2, 3)), atol=1e-3)


# --- what is trained --------------------------------------------------------------------------------------


def test_a_frozen_trunk_does_not_change(weights):
    _, folder = weights
    sizes = {"trunk": NAME, "pretrained": str(folder / "w.safetensors"), "frozen": True}
    model = video_encoders.make("cnn_avg", (3, 64, 64, 3), 8, **sizes).train()
    before = {k: v.clone() for k, v in model.frames.state_dict().items()}
    out = model(torch.randint(0, 255, (4, 3, 64, 64, 3), dtype=torch.uint8))
    out.sum().backward()
    assert all(p.grad is None for p in model.frames.parameters())
    assert all(p.grad is not None for p in model.project.parameters())
    assert all(torch.equal(before[k], v) for k, v in model.frames.state_dict().items())


@pytest.mark.parametrize("name", ["cnn_avg", "cnn_lstm", "transformer"])
def test_a_trunk_for_each_frame(name):
    model = video_encoders.make(name, (3, 32, 40, 3), 8, trunk=NAME).eval()
    assert model(torch.zeros(2, 3, 32, 40, 3, dtype=torch.uint8)).shape == (2, 8)


@pytest.mark.parametrize("name", [NAME, "torchvision/resnet18"])
def test_without_a_network_the_message_names_the_file(name, monkeypatch, tmp_path):
    """The proxy of all downloads is an address without a server."""
    for variable in ("HTTP_PROXY", "HTTPS_PROXY", "http_proxy", "https_proxy", "ALL_PROXY", "all_proxy"):
        monkeypatch.setenv(variable, "http://127.0.0.1:9")
    for variable in ("HF_HOME", "TORCH_HOME"):
        monkeypatch.setenv(variable, str(tmp_path))
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_CACHE", str(tmp_path))
    monkeypatch.setattr("huggingface_hub.utils._http.time.sleep", lambda seconds: None)  # between its tries
    with pytest.raises(UserError) as e:
        audio_encoders.make(name, (1, 64, 64), 8, pretrained=True)
    file = "resnet18-f37072fd.pth" if name.startswith("torchvision") else "model.safetensors"
    assert file in str(e.value) and "pretrained: PATH" in str(e.value) and "\n" not in str(e.value)


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (None, "no such file"),
        (b"torn", "not a file of weights"),
        ({}, "not weights of this network"),
        ("code", "not a"),
    ],
)
def test_files_without_weights_are_one_line(tmp_path, content, message):
    path = tmp_path / "w.pth"
    if content == "code":
        torch.save({"weights": print}, path)  # only pickle could read it
    elif isinstance(content, dict):
        torch.save(content, path)
    elif content is not None:
        path.write_bytes(content)
    with pytest.raises(UserError) as e:
        audio_encoders.make(NAME, (1, 64, 64), 8, pretrained=str(path))
    assert message in str(e.value) and str(path) in str(e.value) and "\n" not in str(e.value)


def test_sizes_that_do_not_fit_are_one_line():
    with pytest.raises(UserError, match="unknown size 'widht': did you mean width"):
        audio_encoders.make("cnn_small", (1, 64, 64), 8, widht=8)
    with pytest.raises(UserError, match="audio encoder transformer: .*divisible"):
        audio_encoders.make("transformer", (1, 64, 64), 8, inner=15, heads=2)
