"""Which weights of networks of other libraries are trained, their blocks, and gradient checkpointing."""

import pytest
import torch

from models.audio import encoders as audio_encoders
from models.video import encoders as video_encoders
from pipeline.errors import UserError
from testing import hf_models

TORCHVISION = "torchvision/mobilenet_v2"
TIMM = ("timm/test_resnet", "timm/test_vit", "timm/test_convnext")
NETWORKS = [
    *(("video", name) for name in (*TIMM, TORCHVISION)),
    *(("audio", f"hf/{family}") for family in ("ast", "clap_fused", "pe_audio", "wavlm", "whisper")),
    *(("video", f"hf/{family}") for family in ("clip", "dinov3_convnext", "pe_video", "siglip", "videomae")),
]
# Networks whose linear layers are all in their own attention, or that have none.
WITHOUT_LORA = ("timm/test_resnet", TORCHVISION)


def make(kind, name, **keywords):
    torch.manual_seed(0)
    registry, shape = (
        (audio_encoders, hf_models.SOUND_SHAPE)
        if kind == "audio"
        else (video_encoders, hf_models.FRAMES_SHAPE)
    )
    if name.startswith("hf/"):
        name = hf_models.make_name(name.removeprefix("hf/"))
    return registry.make(name, shape, 6, **keywords)


def windows(kind, n=4):
    torch.manual_seed(1)
    if kind == "audio":
        return torch.randn(n, *hf_models.SOUND_SHAPE) * 0.1
    return torch.randint(0, 256, (n, *hf_models.FRAMES_SHAPE), dtype=torch.uint8)


def train(model, x, steps=2):
    """Train, and return the names of the parameters and buffers that changed."""
    before = {name: value.clone() for name, value in model.state_dict().items()}
    optimizer = torch.optim.SGD((p for p in model.parameters() if p.requires_grad), lr=0.1)
    model.train()
    for _ in range(steps):
        optimizer.zero_grad()
        out = model(x)
        (out * torch.randn(out.shape)).sum().backward()
        optimizer.step()
    return {name for name, value in model.state_dict().items() if not torch.equal(value, before[name])}


@pytest.mark.parametrize(("kind", "name"), NETWORKS)
def test_groups_have_every_parameter_once_in_order(kind, name):
    model = make(kind, name)
    groups = model.layer_groups()
    names = [name for group in groups for name in group]
    assert sorted(names) == sorted(name for name, _ in model.named_parameters())
    assert all(groups) and len(groups) >= 3 and groups[-1] == ["project.weight", "project.bias"]


@pytest.mark.parametrize(("kind", "name"), NETWORKS)
def test_nothing_of_a_frozen_network_changes(kind, name):
    """Nor the statistics of batch norms."""
    model = make(kind, name, trainable="none")
    assert train(model, windows(kind)) == {"project.weight", "project.bias"}
    x = windows(kind)
    assert torch.equal(model.compute_features(x), model.eval().compute_features(x))


@pytest.mark.parametrize(("kind", "name"), NETWORKS)
def test_the_last_blocks_change(kind, name):
    model = make(kind, name, trainable=1)
    *frozen, last, head = model.layer_groups()
    trained = {name for name, p in model.named_parameters() if p.requires_grad}
    assert trained == {*last, *head}
    changed = train(model, windows(kind))
    assert changed & {*last} and {*head} <= changed
    buffers = {name for name in changed if name not in dict(model.named_parameters())}
    assert not changed & {name for group in frozen for name in group}
    blocks = {name.rsplit(".", 1)[0] for name in last}
    assert all(name.rsplit(".", 1)[0] in blocks for name in buffers)  # statistics of batch norms


@pytest.mark.parametrize(("kind", "name"), [n for n in NETWORKS if n[1] not in WITHOUT_LORA])
def test_low_rank_additions_change_alone(kind, name, tmp_path):
    model = make(kind, name, trainable="lora", lora_rank=2)
    x = windows(kind)
    with torch.no_grad():  # they begin as nothing
        expected = make(kind, name).eval()(x) if name.startswith("hf/") else None
        out = model.eval()(x)
        assert expected is None or torch.allclose(out, expected, atol=1e-5)
    trained = {name for name, p in model.named_parameters() if p.requires_grad}
    changed = train(model, x)
    # The first matrix of a product changes only after the second one, and little.
    assert changed <= trained and {name for name in trained if "lora_A" not in name} <= changed
    assert all("lora_" in name or name.startswith("project.") for name in trained)
    assert any("lora_" in name for name in trained)
    other = make(kind, name, trainable="lora", lora_rank=2)
    other.load_state_dict(model.state_dict())
    with torch.no_grad():
        assert torch.equal(other.eval()(x), model.eval()(x))
    assert len(model.layer_groups()) == len(make(kind, name).layer_groups())


@pytest.mark.parametrize("name", WITHOUT_LORA)
def test_networks_without_linear_layers_are_one_line(name):
    with pytest.raises(UserError, match=f"trainable: lora: {name} has no linear layers for it"):
        make("video", name, trainable="lora")


def test_too_many_blocks_are_one_line():
    with pytest.raises(UserError, match=r"trainable: 3: hf/.* has 2 blocks: use all"):
        make("video", "hf/vit", trainable=3)


@pytest.mark.parametrize(("kind", "name"), NETWORKS)
def test_gradient_checkpointing_changes_no_gradient(kind, name):
    model = make(kind, name, trainable="all")
    for part in model.modules():
        if isinstance(part, torch.nn.Dropout):
            part.p = 0.0
    gradients = []
    for on in (False, True):
        try:
            model.set_gradient_checkpointing(on)
        except UserError as e:
            assert "has no switch for it" in str(e) and "\n" not in str(e)
            assert name in (TORCHVISION, "hf/clap_fused", "hf/dinov3_convnext")
            return
        model.zero_grad()
        model.train()
        torch.manual_seed(0)
        model(windows(kind)).square().sum().backward()
        gradients.append([p.grad.clone() for p in model.parameters() if p.requires_grad])
    assert name not in (TORCHVISION, "hf/clap_fused", "hf/dinov3_convnext")
    assert all(torch.allclose(a, b, atol=1e-5, rtol=1e-3) for a, b in zip(*gradients, strict=True))
    model.set_gradient_checkpointing(False)
