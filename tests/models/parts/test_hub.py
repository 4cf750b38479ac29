"""Networks of timm and torchvision: their weights, from where they come, and what is trained of them."""

import pytest
import safetensors.torch
import timm
import torch
import torchvision

from models.audio import encoders as audio_encoders
from models.parts.hub import Trunk
from models.video import encoders as video_encoders
from pipeline.errors import UserError

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
    trunk = Trunk(NAME, 3, (64, 64), str(folder / f"w.{suffix}"), frozen=False).eval()
    x = torch.randn(2, 3, 64, 64)
    with torch.no_grad():
        expected = net.forward_head(net.forward_features(x), pre_logits=True)
        assert torch.allclose(trunk(x), expected, atol=1e-5)


def test_weights_of_three_channels_are_summed_for_one(weights):
    """A grey picture has the same output as in three equal channels."""
    net, folder = weights
    trunk = Trunk(NAME, 1, (64, 64), str(folder / "w.safetensors"), frozen=False).eval()
    x = torch.randn(2, 1, 64, 64)
    with torch.no_grad():
        expected = net.forward_head(net.forward_features(x.expand(2, 3, 64, 64)), pre_logits=True)
        assert torch.allclose(trunk(x), expected, atol=1e-4)


def test_a_trunk_computes_what_torchvision_does(tmp_path):
    torch.manual_seed(1)
    net = torchvision.models.resnet18(weights=None).eval()
    torch.save(net.state_dict(), tmp_path / "w.pth")
    trunk = Trunk("torchvision/resnet18", 3, (64, 64), str(tmp_path / "w.pth"), frozen=False).eval()
    net.fc = torch.nn.Identity()
    x = torch.randn(2, 3, 64, 64)
    with torch.no_grad():
        assert torch.allclose(trunk(x), net(x), atol=1e-5)


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
