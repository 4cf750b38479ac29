"""CAV-MAE against results of the published code, and against numbers computed here."""

import math
from pathlib import Path

import numpy as np
import pytest
import safetensors.torch
import timm
import torch
from torch.nn import functional as F

from app.convert import convert, read_classes
from models import checkpoint
from models.joint import _masks as masks
from models.joint import encoders
from models.joint._layers import Attention, encode_grid_positions
from models.joint.cav_mae import SIDES
from models.sharing import cav_mae_checkpoint
from models.tasks._schedule import configure_adamw
from pipeline.errors import UserError
from testing import toy

REFERENCE = Path(__file__).parents[3] / "../shared/reference/cav_mae"
if not REFERENCE.exists():
    REFERENCE = Path(__file__).parents[3] / "shared/reference/cav_mae"
needs_reference = pytest.mark.skipif(not REFERENCE.exists(), reason="shared/reference/cav_mae is not here")
HEADS = {"heads": 4, "decoder_heads": 4}
MODES = ("multimodal", "audioonly", "videoonly", "missingaudioonly", "missingvideoonly")
AUDIO, VIDEO = (1, 32, 70), (1, 50, 66, 3)
SIZES = {"width": 32, "heads": 2, "layers": 2, "decoder_width": 16, "decoder_heads": 2, "decoder_layers": 1}
SETTINGS = toy.PARAMS.pretraining.model_dump(exclude={"train", "augment"})


@pytest.fixture(scope="module")
def numbers():
    return {k: torch.from_numpy(v) for k, v in np.load(REFERENCE / "reference.npz").items()}


def converted(name, folder, path=None, **options):
    """Convert a published file and return its module. The reference's inputs are normalized already."""
    cav_mae_checkpoint.convert(path or REFERENCE / f"{name}.safetensors", folder, **HEADS | options)
    module = checkpoint.load(folder).module
    module.encoder.audio_mean.zero_(), module.encoder.audio_std.fill_(1)
    module.encoder.video_shift.zero_(), module.encoder.video_scale.fill_(1)
    return module


def inputs(numbers):
    audio = numbers["audio"].transpose(1, 2)[:, None]  # (B, 1, freq, time)
    return audio, numbers["image"].permute(0, 2, 3, 1)[:, None]  # (B, 1, height, width, 3)


@needs_reference
@torch.no_grad()
def test_pretraining_is_as_published(numbers, tmp_path):
    module = converted("pretraining", tmp_path)
    visible, masked = {}, {}
    for side, name in (("audio", "audio"), ("video", "image")):
        visible[side], masked[side] = masks.split_by_noise(numbers[f"noise_{name}"], 0.75)
        mask = torch.ones_like(numbers[f"mask_{name}"]).scatter(1, visible[side], 0)
        assert torch.equal(mask, numbers[f"mask_{name}"])
    audio, video = inputs(numbers)
    terms = module.loss_terms(audio, video, torch.eye(3, dtype=torch.bool), visible, masked)
    names = {"loss": "loss", "audio_mse": "loss_mae_audio", "video_mse": "loss_mae_image"}
    for ours, theirs in names.items():
        assert terms[ours].item() == pytest.approx(numbers[theirs].item(), abs=1e-4), ours
    contrastive = 0.01 * terms["contrastive"].item()
    assert contrastive == pytest.approx(numbers["loss_contrastive"].item(), rel=1e-4)
    for side, x, name in (("audio", audio, "feat_audio"), ("video", video, "feat_image")):
        tokens = module.encoder.fuse(module.encoder.encode_tokens(side, x), side)
        assert (tokens - numbers[name]).abs().max() < 1e-4


@needs_reference
@torch.no_grad()
@pytest.mark.parametrize("mode", MODES)
def test_fine_tuned_is_as_published(numbers, tmp_path, mode):
    module = converted("finetuned", tmp_path)
    audio, video = inputs(numbers)
    if mode == "multimodal":
        logits = module(audio, video)
    elif mode.startswith("missing"):  # the name says which modality remains
        missing = "video" if "audio" in mode else "audio"
        logits = module.logits_without(missing, audio, video)
    else:
        module.fusion.modality = "audio" if "audio" in mode else "video"
        module.fusion.embedding_names = (module.fusion.modality,)
        logits = module(audio, video)
    assert (logits - numbers[f"logits_{mode}"]).abs().max() < 1e-4


# --- without files of the published code --------------------------------------------------------------


def their_names(module):
    """Return the weights of a model under the names of the published code."""
    state = {}
    for name, value in module.state_dict().items():
        if theirs := cav_mae_checkpoint._to_published_name(name.removeprefix("fusion.")):
            if theirs.startswith("patch_embed"):
                channels = module.encoder.channels["audio" if "_a." in theirs else "video"]
                side = module.encoder.patch
                if value.ndim == 2:
                    value = value.unflatten(1, (side, side, channels)).permute(0, 3, 1, 2)
            state[f"module.{theirs}"] = value.contiguous()
    return state


def pretraining(audio=AUDIO, video=VIDEO, statistics=None, settings=None, **sizes):
    config = {
        "task": "pretraining",
        "encoder": "cav_mae",
        "encoders": {"joint": SIZES | sizes},
        "pretraining": SETTINGS | (settings or {}),
        "statistics": statistics,
        "train": toy.PARAMS.pretraining.train.model_dump(),
        "audio_shape": list(audio),
        "video_shape": list(video),
    }
    torch.manual_seed(0)
    return checkpoint.build(config)


def windows(n=4, audio=AUDIO, video=VIDEO, seed=0):
    rng = np.random.default_rng(seed)
    sound = torch.from_numpy(rng.normal(-40, 20, (n, *audio)).astype(np.float16))
    return sound, torch.from_numpy(rng.integers(0, 256, (n, *video)).astype(np.uint8))


@pytest.fixture
def theirs(tmp_path):
    """A checkpoint as published, with 128 bands and square pictures, with random weights."""
    module = pretraining((1, 128, 48), (1, 32, 32, 3), settings=cav_mae_checkpoint.PRETRAINING)
    torch.save(their_names(module), tmp_path / "model.pth")
    return module, tmp_path / "model.pth"


@torch.no_grad()
def test_a_converted_file_computes_the_same(theirs, tmp_path):
    module, path = theirs
    config = cav_mae_checkpoint.convert(path, tmp_path / "out", heads=2, decoder_heads=2)
    assert config["audio_shape"] == [1, 128, 48] and config["video_shape"] == [1, 32, 32, 3]
    again = checkpoint.load(tmp_path / "out").module
    assert again.encoder.audio_mean == pytest.approx(cav_mae_checkpoint.NORMALIZATION[0])
    module.encoder.audio_mean.copy_(again.encoder.audio_mean)
    module.encoder.audio_std.copy_(again.encoder.audio_std)
    sound, picture = windows(3, (1, 128, 48), (1, 32, 32, 3))
    orders = module.draw_masks(3, torch.Generator().manual_seed(1))
    same = torch.eye(3, dtype=torch.bool)
    expected, actual = (m.eval().loss_terms(sound, picture, same, *orders) for m in (module, again))
    assert actual["loss"].item() == pytest.approx(expected["loss"].item(), abs=1e-5)


@pytest.mark.parametrize(
    ("edit", "message"),
    [
        (lambda s: s.pop("module.blocks_a.1.attn.qkv.weight"), "missing 1 keys, blocks_a.1.attn.qkv.weight"),
        (lambda s: s.pop("module.pos_embed_v"), "missing 1 keys, pos_embed_v"),
        (lambda s: s.update({"module.oddity": torch.zeros(1)}), "unknown 1 keys, module.oddity"),
        (lambda s: s.update({"module.norm.weight": torch.zeros(3)}), "of another shape 1 keys, norm.weight"),
        (lambda s: s.update({"epoch": 7}), "a dictionary of names and tensors"),
        (lambda s: s.update({"code": print}), "not a file of weights"),
        (lambda s: s.clear(), "missing"),
        (lambda s: s.pop("module.patch_embed_a.proj.weight"), "missing 1 keys, patch_embed_a.proj.weight"),
        (lambda s: s.pop("module.decoder_embed.weight"), "missing 1 keys, decoder_embed.weight"),
    ],
)
def test_a_file_with_wrong_keys_is_refused(theirs, tmp_path, edit, message):
    _, path = theirs
    state = torch.load(path, weights_only=True)
    edit(state)
    torch.save(state, path)
    with pytest.raises(UserError) as e:
        cav_mae_checkpoint.convert(path, tmp_path / "out", heads=2, decoder_heads=2)
    assert message in str(e.value) and "\n" not in str(e.value)
    assert not (tmp_path / "out").exists()


# Names of tensors in the published files -> names here.
LITERAL = {
    "module.patch_embed_a.proj.bias": "encoder.embed.audio.bias",
    "module.pos_embed_v": "encoder.positions.video",
    "modality_a": "encoder.modality.audio",
    "blocks_v.3.attn.qkv.weight": "encoder.towers.video.3.attn.qkv.weight",
    "blocks_a.10.norm1.bias": "encoder.towers.audio.10.norm1.bias",
    "blocks_u.0.norm1_a.weight": "encoder.joint.0.norm1.audio.weight",
    "blocks_u.0.norm1_v.weight": "encoder.joint.0.norm1.video.weight",
    "blocks_u.0.norm2.weight": "encoder.joint.0.norm2.both.weight",
    "blocks_u.0.mlp.fc2.bias": "encoder.joint.0.mlp.fc2.bias",
    "norm_a.weight": "encoder.norms.audio.weight",
    "norm_v.weight": "encoder.norms.video.weight",
    "norm.bias": "encoder.norms.both.bias",
    "decoder_embed.weight": "decoder.enter.weight",
    "decoder_modality_v": "decoder.modality.video",
    "decoder_pos_embed_a": "decoder.audio_positions",
    "decoder_blocks.7.norm2.weight": "decoder.layers.7.norm2.weight",
    "decoder_norm.bias": "decoder.norm.bias",
    "decoder_pred_v.weight": "decoder.predict.video.weight",
    "mlp_head.0.weight": "head.0.weight",
    "mlp_head.1.bias": "head.2.bias",
}


def test_published_names_are_translated():
    state = {name: torch.tensor(float(i)) for i, name in enumerate(LITERAL)}
    renamed = cav_mae_checkpoint.rename_weights(
        state | {"blocks_a.0.norm1_v.weight": torch.zeros(1)}
    )  # a norm that no layer uses
    assert renamed == {ours: state[theirs] for theirs, ours in LITERAL.items()}


@torch.no_grad()
def test_a_modality_that_is_missing_by_hand():
    """The mean of the joint layer and final norm of both, and of those of the modality."""
    encoder = encoders.make("cav_mae", AUDIO, VIDEO, **SIZES).eval()
    for weight in encoder.parameters():
        weight.add_(torch.randn(weight.shape) * 0.1)
    sound, picture = windows()
    for side, x in zip(SIDES, (sound, picture), strict=True):
        tokens, (layer,), expected = encoder.encode_tokens(side, x), encoder.joint, 0
        for kind in ("both", side):
            y = tokens + layer.attn(layer.norm1[kind](tokens))
            y = y + layer.mlp(layer.norm2[kind](y))
            expected = expected + encoder.norms[kind](y).mean(1) / 2
        assert torch.allclose(encoder.embed_without_other(side, x), expected, atol=1e-5)
    both = torch.cat([encoder.encode_tokens("audio", sound), encoder.encode_tokens("video", picture)], 1)
    (layer,) = encoder.joint
    y = both + layer.attn(layer.norm1["both"](both))
    expected = encoder.norms["both"](y + layer.mlp(layer.norm2["both"](y))).mean(1)
    assert torch.allclose(encoder(sound, picture), expected, atol=1e-5)


@torch.no_grad()
def test_a_fine_tuned_file_by_the_command(tmp_path, monkeypatch, capsys):
    """Convert a file with a file of class names, load the model, and compare its outputs."""
    audio, video = (1, 128, 32), (1, 32, 32, 3)
    config = {
        "task": "classification",
        "encoder": "cav_mae",
        "encoders": {"joint": SIZES},
        "modality": "both",
        "classification": cav_mae_checkpoint.CLASSIFICATION,
        "classes": ["Flute", "Bell", "Drum"],
        "weights": None,
        "train": {"embedding_dim": 32},
        "audio_shape": list(audio),
        "video_shape": list(video),
    }
    torch.manual_seed(0)
    module = checkpoint.build(config)
    safetensors.torch.save_file(their_names(module), tmp_path / "tuned.safetensors")
    names = 'index,mid,display_name\n0,/m/a,"Flute, wooden"\n1,/m/b,Bell\n2,/m/c,Drum\n'
    (tmp_path / "names.csv").write_text(names)
    out, file = str(tmp_path / "out"), str(tmp_path / "tuned.safetensors")
    command = ["convert", file, out, "--classes", str(tmp_path / "names.csv"), "--heads", "2", "--one-label"]
    monkeypatch.setattr("sys.argv", command)
    convert()
    assert "classification, width 32, 2 + 1 layers, 3 classes" in capsys.readouterr().out
    again = checkpoint.load(out)
    assert again.config["classes"] == ["Bell", "Drum", "Flute, wooden"]  # sorted, as in all models here
    assert not again.config["classification"]["multilabel"]
    again.module.encoder.audio_mean.zero_(), again.module.encoder.audio_std.fill_(1)
    sound, picture = windows(2, audio, video)
    expected = module.eval()(sound, picture)[:, [1, 2, 0]]
    assert torch.allclose(again.module(sound, picture), expected, atol=1e-4)
    (tmp_path / "names.csv").write_text("Bell, small\nDrum\n")
    assert read_classes(tmp_path / "names.csv") == ["Bell, small", "Drum"]
    with pytest.raises(UserError, match="has 3 outputs, but there are 2 class names"):
        convert()


@pytest.mark.parametrize("mode", masks.MODES)
def test_a_quarter_is_visible(mode):
    torch.manual_seed(0)
    noise = masks.draw_mask_noise(50, (8, 16), 0.75, mode)
    visible, masked = masks.split_by_noise(noise, 0.75)
    assert visible.shape == (50, 32) and masked.shape == (50, 96)
    assert (torch.cat([visible, masked], 1).sort(1).values == torch.arange(128)).all()
    is_visible = torch.zeros(50, 128).scatter(1, visible, 1.0).unflatten(1, (8, 16))
    assert len(is_visible.flatten(1).unique(dim=0)) > 20  # of the 28 ways to choose two of eight rows
    columns, rows = is_visible.any(1).sum(1), is_visible.any(2).sum(1)
    if mode == "time":
        assert (columns == 4).all() and (rows == 8).all()
    elif mode == "frequency":
        assert (rows == 2).all() and (columns == 16).all()
    elif mode == "both":  # .7 of the ratio of each: 8 of 16 columns and 4 of 8 rows are left
        assert (columns <= 8).all() and (rows <= 4).all()
    else:
        assert columns.float().mean() > 14


def test_one_patch_is_always_visible():
    assert masks.count_visible(2, 0.9) == 1 and masks.count_visible(16, 0.75) == 4


def test_positions_by_hand():
    positions = encode_grid_positions((2, 3), 8)[0]  # rows, columns; two wavelengths: 2 pi and 200 pi
    row, column = 1, 2
    expected = [f(x * rate) for x in (column, row) for f in (math.sin, math.cos) for rate in (1, 0.01)]
    assert positions.shape == (6, 8)
    assert positions[row * 3 + column].tolist() == pytest.approx(expected, abs=1e-6)


def test_patches_have_their_positions_and_can_be_undone():
    module = pretraining(patch=16)
    encoder, (sound, picture) = module.encoder, windows()
    assert encoder.grid == {"audio": (2, 4), "video": (3, 4)}
    patches = encoder.split_patches("audio", sound)
    assert patches.shape == (4, 8, 256) and patches.dtype == torch.float16
    assert torch.equal(patches[1, 5].unflatten(0, (16, 16)), sound[1, 0, 16:32, 16:32])  # row 1, column 1
    pixels = encoder.split_patches("video", picture)
    assert pixels.shape == (4, 12, 768) and pixels.dtype == torch.uint8
    assert torch.equal(
        pixels[2, 6].unflatten(0, (16, 16, 3)), picture[2, 0, 17:33, 33:49]
    )  # 1 pixel cut off above and left
    back = encoder.denormalize("video", encoder.normalize("video", pixels))
    assert torch.allclose(back, picture[:, 0, 1:49, 1:65].float(), atol=1e-2)
    whole = encoder.denormalize("audio", encoder.normalize("audio", patches))
    assert torch.allclose(whole[..., 0], sound[:, 0, :, :64].float(), atol=1e-3)


def test_a_short_spectrogram_is_padded_with_zeros():
    encoder = encoders.make("cav_mae", AUDIO, VIDEO, **SIZES, columns=80)
    sound, _ = windows()
    patches = encoder.split_patches("audio", sound)
    assert encoder.grid["audio"] == (2, 5)
    last = patches[0, 4].unflatten(0, (16, 16))
    assert torch.equal(last[:, :6], sound[0, 0, :16, 64:70]) and not last[:, 6:].any()


def test_attention_is_timms():
    torch.manual_seed(0)
    ours, plain = Attention(32, 4, qkv_bias=True), timm.layers.Attention(32, 4, qkv_bias=True)
    plain.load_state_dict(ours.state_dict())
    plain.fused_attn = False
    x = torch.randn(3, 7, 32)
    assert torch.allclose(ours(x), plain(x), atol=1e-6)


@torch.no_grad()
def test_masked_patches_are_not_read():
    module = pretraining().eval()
    sound, picture = windows()
    visible, masked = module.draw_masks(4, torch.Generator().manual_seed(2))
    before = module.reconstruct(sound, picture, visible, masked)

    def pixel_mask(numbers, grid):
        mask = torch.zeros(4, grid[0] * grid[1]).scatter(1, numbers, 1.0).unflatten(1, grid)
        return mask.repeat_interleave(16, 1).repeat_interleave(16, 2).bool()

    for is_read, numbers in ((False, masked), (True, visible)):
        for side in SIDES:
            other = {"audio": sound.clone(), "video": picture.clone()}
            if side == "audio":
                other["audio"][:, 0, :, :64][pixel_mask(numbers["audio"], (2, 4))] = 7.0
            else:
                other["video"][:, 0, 1:49, 1:65][pixel_mask(numbers["video"], (3, 4))] = 7
            after = module.reconstruct(other["audio"], other["video"], visible, masked)
            same = all(torch.equal(before[s], after[s]) for s in SIDES)
            assert same != is_read, (side, is_read)


def test_the_loss_by_hand():
    module = pretraining(
        settings={"normalize_patches": False, "contrastive": 0.5, "reconstruction": 2.0, "both_ways": False}
    )
    sound, picture = windows()
    visible, masked = module.draw_masks(4, torch.Generator().manual_seed(2))
    same = torch.eye(4, dtype=torch.bool)
    terms = module.loss_terms(sound, picture, same, visible, masked)
    filled = module.reconstruct(sound, picture, visible, masked)
    errors = {}
    for side, x in zip(SIDES, (sound, picture), strict=True):
        every = module.encoder.normalize(side, module.encoder.split_patches(side, x))
        rows = torch.arange(4)[:, None]
        errors[side] = ((filled[side] - every[rows, masked[side]]) ** 2).mean()
        assert terms[f"{side}_mse"].item() == pytest.approx(errors[side].item(), rel=1e-5)
    means = [
        module.encoder.fuse(module.encoder.encode_tokens(s, x, visible[s]), s).mean(1)
        for s, x in zip(SIDES, (sound, picture), strict=True)
    ]
    a, v = (F.normalize(m, dim=1) for m in means)
    logits = v @ a.T / 0.05  # pictures ask for sounds
    expected = -logits.log_softmax(1).diagonal().mean()
    assert terms["contrastive"].item() == pytest.approx(expected.item(), rel=1e-4)
    assert terms["loss"].item() == pytest.approx(
        (2 * (errors["audio"] + errors["video"]) + 0.5 * expected).item(), rel=1e-4
    )


def test_patches_are_normalized_one_by_one():
    module = pretraining(settings={"normalize_patches": True})
    sound, _ = windows()
    _, masked = module.draw_masks(4)
    target = module.select_targets("audio", sound, masked["audio"])
    assert target.mean(2).abs().max() < 1e-4
    assert torch.allclose(target.var(2), torch.ones(4, target.shape[1]), atol=1e-3)


def test_statistics_of_the_data_or_constants():
    module = pretraining(statistics={"mean": -40.0, "std": 20.0})
    sound, _ = windows(64)
    x = module.encoder.normalize("audio", module.encoder.split_patches("audio", sound))
    assert abs(x.mean()) < 0.05 and abs(x.std() - 1) < 0.05
    fixed = pretraining(statistics={"mean": -40.0, "std": 20.0}, normalization=[-5.081, 4.4849])
    assert fixed.encoder.audio_mean == pytest.approx(-5.081)


def test_gradient_checkpointing_computes_twice_and_changes_nothing():
    gradients, calls = [], []
    for is_on in (False, True):
        module = pretraining()
        module.encoder.gradient_checkpointing = module.decoder.gradient_checkpointing = is_on
        module.encoder.towers["audio"][0].mlp.register_forward_pre_hook(lambda *_: calls.append(1))
        orders = module.draw_masks(4, torch.Generator().manual_seed(3))
        module.loss_terms(*windows(), torch.eye(4, dtype=torch.bool), *orders)["loss"].backward()
        gradients.append({n: p.grad for n, p in module.named_parameters() if p.grad is not None})
        assert len(calls) == (3 if is_on else 1)
    assert gradients[0].keys() == gradients[1].keys()
    assert all(torch.allclose(gradients[0][n], g, atol=1e-6) for n, g in gradients[1].items())


@pytest.mark.parametrize(("reconstruction", "contrastive"), [(1.0, 0.01), (1.0, 0.0), (0.0, 1.0)])
def test_each_part_of_the_loss_can_be_left_out(reconstruction, contrastive):
    module = pretraining(settings={"reconstruction": reconstruction, "contrastive": contrastive})
    terms = module.loss_terms(*windows(), torch.eye(4, dtype=torch.bool), *module.draw_masks(4))
    terms["loss"].backward()
    reached = {n for n, p in module.named_parameters() if p.grad is not None and p.grad.abs().sum() > 0}
    assert any(n.startswith("decoder.") for n in reached) == (reconstruction > 0)
    assert any("norms.audio" in n for n in reached) == (contrastive > 0)
    assert ("audio_mse" in terms) == (reconstruction > 0) and "contrastive" in terms


# --- initial weights -----------------------------------------------------------------------------------


def image_vit(path, width=32, depth=3):
    torch.manual_seed(5)
    net = timm.create_model("vit_tiny_patch16_224", embed_dim=width, depth=depth, num_heads=2, num_classes=10)
    safetensors.torch.save_file(net.state_dict(), path)
    return net


@torch.no_grad()
def test_an_image_network_initializes_both_towers(tmp_path):
    net = image_vit(tmp_path / "vit.safetensors")
    encoder = encoders.make("cav_mae", AUDIO, VIDEO, **SIZES, pretrained=str(tmp_path / "vit.safetensors"))
    picture = torch.rand(2, 3, 48, 64)
    patches = (
        picture.unflatten(2, (3, 16)).unflatten(4, (4, 16)).permute(0, 2, 4, 3, 5, 1).flatten(3).flatten(1, 2)
    )
    expected = net.patch_embed.proj(picture).flatten(2).mT
    assert torch.allclose(encoder.embed["video"](patches), expected, atol=1e-4)
    x = torch.randn(2, 5, 32)
    for side in SIDES:
        assert torch.allclose(encoder.towers[side][1](x), net.blocks[1](x), atol=2e-4)
    for kind in ("audio", "both"):  # layers of the ViT after the towers', its norm for each modality
        assert torch.allclose(encoder.joint[0](x, kind), net.blocks[2](x), atol=2e-4)
    grey = torch.rand(2, 1, 16, 16)
    as_colours = net.patch_embed.proj(grey.expand(2, 3, 16, 16)).flatten(1)
    assert torch.allclose(encoder.embed["audio"](grey.flatten(1)), as_colours, atol=1e-4)


def test_an_image_network_of_another_size_is_one_line(tmp_path):
    image_vit(tmp_path / "vit.safetensors", width=64)
    with pytest.raises(UserError, match="not a ViT of width 32 with patches of 16"):
        encoders.make("cav_mae", AUDIO, VIDEO, **SIZES, pretrained=str(tmp_path / "vit.safetensors"))


@torch.no_grad()
def test_positions_of_another_size_are_interpolated():
    small = encoders.make("cav_mae", AUDIO, VIDEO, **SIZES)
    large = encoders.make("cav_mae", (1, 32, 140), (1, 96, 128, 3), **SIZES)
    large.load_resized(small.state_dict(), small.grid)
    assert large.positions["audio"].shape == (1, 16, 32)
    assert torch.equal(large.towers["audio"][0].attn.qkv.weight, small.towers["audio"][0].attn.qkv.weight)
    assert large.embed["audio"].weight.equal(small.embed["audio"].weight)
    same = encoders.make("cav_mae", AUDIO, VIDEO, **SIZES)
    same.load_resized(small.state_dict(), small.grid)
    sound, picture = windows()
    assert torch.equal(same.eval()(sound, picture), small.eval()(sound, picture))


def test_a_name_that_timm_does_not_have_is_one_line(tmp_path):
    with pytest.raises(UserError, match="timm has no such model: did you mean timm/vit_base_patch16_224"):
        encoders.make("cav_mae", AUDIO, VIDEO, **SIZES, pretrained="timm/vit_base_patch16_242")
    torch.save([1, 2], tmp_path / "list.pth")
    with pytest.raises(UserError, match="must be a dictionary of names and tensors only"):
        encoders.make("cav_mae", AUDIO, VIDEO, **SIZES, pretrained=str(tmp_path / "list.pth"))
    with pytest.raises(UserError, match="the deviation 0 is not above 0"):
        encoders.make("cav_mae", AUDIO, VIDEO, **SIZES, normalization=[0.0, 0.0])


def test_inputs_smaller_than_a_patch_are_one_line():
    with pytest.raises(UserError, match="audio of 8 x 70 is smaller than a patch of 16"):
        encoders.make("cav_mae", (1, 8, 70), VIDEO, **SIZES)
    with pytest.raises(UserError, match="width 30 is no multiple of 4"):
        encoders.make("cav_mae", AUDIO, VIDEO, **SIZES | {"width": 30})


def test_base_is_as_published():
    encoder = encoders.make("cav_mae", (1, 128, 1024), (1, 224, 224, 3), size="base", layers=1)
    assert encoder.grid == {"audio": (8, 64), "video": (14, 14)}
    assert encoder.sizes | {"layers": 11} == {
        "width": 768,
        "heads": 12,
        "layers": 11,
        "joint_layers": 1,
        "decoder_width": 512,
        "decoder_heads": 16,
        "decoder_layers": 8,
    }


# --- learning rates -----------------------------------------------------------------------------------


def test_each_layer_has_its_learning_rate():
    module = pretraining()
    settings = toy.PARAMS.pretraining.train.model_copy(update={"layer_decay": 0.5, "learning_rate": 0.1})
    groups = configure_adamw(module, settings, 100)["optimizer"].param_groups
    rates = {id(p): g["initial_lr"] for g in groups for p in g["params"]}
    encoder = module.encoder
    expected = {
        encoder.norms["both"].weight: 0.1,
        encoder.joint[0].attn.proj.weight: 0.1,
        encoder.towers["video"][1].attn.proj.weight: 0.05,
        encoder.towers["audio"][0].attn.proj.weight: 0.025,
        encoder.embed["audio"].weight: 0.0125,
        module.decoder.enter.weight: 0.1,
    }
    assert [rates[id(p)] for p in expected] == pytest.approx(list(expected.values()))
    assert all(
        g["weight_decay"] == 0 for g in groups if any(p is encoder.modality["audio"] for p in g["params"])
    )
    assert not any(
        p is encoder.positions["audio"] for g in groups for p in g["params"]
    )  # they are not trained
