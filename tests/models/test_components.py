"""Tests of every registered encoder, loss and matcher, which include new ones."""

import math

import numpy as np
import onnxruntime
import pytest
import safetensors.torch
import torch
from torch.nn import functional as F

from models import checkpoint
from models.audio import encoders as audio_encoders
from models.evaluation import evaluation
from models.evaluation.result import Settings
from models.joint import encoders as joint_encoders
from models.losses import losses
from models.matchers import matchers
from models.parts.hf import pictures, sound
from models.registry import Registry
from models.tasks import tasks
from models.video import encoders as video_encoders
from pipeline.config import ROOT
from pipeline.errors import UserError
from testing import hf_models, toy
from tests.models.sharing.test_export import EXPORTED, SQUEEZENET

DIM = 6
AUDIO_SHAPES = [(1, 64, 100), (2, 33, 17), (1, 1, 1)]
VIDEO_SHAPES = [(1, 64, 80, 3), (3, 17, 31, 3)]
SAMPLES_SHAPES = [(1, 160, 40), (1, 99, 51)]  # of networks that hear samples
FRAMES_SHAPES = [(2, 40, 48, 3), (2, 17, 31, 3)]  # of networks that see so many frames
HUBS = ("timm/test_resnet", SQUEEZENET, "timm/test_vit")
TOWERS = {"audio": list(hf_models.SOUND), "video": list(hf_models.PICTURE)}  # families of hf/
# `cached` reads features of networks, not windows: tests/models/parts/test_cached.py.
NAMES = {
    "audio": [name for name in audio_encoders.names() if name != "cached"],
    "video": [name for name in video_encoders.names() if name != "cached"],
}
ENCODERS = [
    (kind, name)
    for kind in ("audio", "video")
    for name in (*NAMES[kind], *HUBS, *(f"hf/{family}" for family in TOWERS[kind]))
]
# An export takes seconds: those of whole models (test_export) have the other encoders in them, a network of a
# hub is the same for sounds as for pictures, and of similar families of hf/ one is enough.
EXPORTED_TOWERS = ("ast", "clap", "whisper", "clip", "vit_mae")
TO_EXPORT = [
    (kind, name)
    for kind, name in ENCODERS
    if (kind, name) not in EXPORTED
    and (kind == "video" or name not in HUBS)
    and name != SQUEEZENET
    and (not name.startswith("hf/") or name.removeprefix("hf/") in EXPORTED_TOWERS)
]


def make(kind, name, shape, **keywords):
    torch.manual_seed(0)
    registry = audio_encoders if kind == "audio" else video_encoders
    if name.startswith("hf/"):
        name = hf_models.make_name(name.removeprefix("hf/"))
    return registry.make(name, shape, DIM, **keywords)


def batch(kind, n, shape, name=""):
    rng = np.random.default_rng(0)
    if kind == "audio":
        values = rng.normal(0, 0.1, (n, *shape)) if "hf/" in name else rng.normal(-40, 20, (n, *shape))
        return torch.from_numpy(values.astype(np.float32))
    return torch.from_numpy(rng.integers(0, 256, (n, *shape)).astype(np.uint8))


def shapes(kind, name):
    if kind == "audio":
        return SAMPLES_SHAPES if "hf/" in name else AUDIO_SHAPES
    return FRAMES_SHAPES if name == "hf/videomae" else VIDEO_SHAPES


@pytest.mark.parametrize(("kind", "name"), ENCODERS)
def test_encoder_takes_any_size_and_batch_1(kind, name):
    for shape in shapes(kind, name):
        model = make(kind, name, shape).eval()
        with torch.no_grad():
            for n in (1, 3):
                out = model(batch(kind, n, shape, name))
                # One embedding, or one for each position of the map.
                positions = math.prod(model.map) if getattr(model, "has_map", False) else 1
                assert out.shape == (n, positions * DIM)
                assert out.isfinite().all()
                assert torch.equal(out, model(batch(kind, n, shape, name)))
            if hasattr(model, "feature_map"):
                assert model.feature_map(batch(kind, 2, shape)).ndim == 4


@pytest.mark.parametrize(("kind", "name"), ENCODERS)
def test_gradient_reaches_every_parameter(kind, name):
    shape = shapes(kind, name)[0 if kind == "audio" else 1]  # of several frames: one needs no recurrence
    model = make(kind, name, shape, **({"trainable": "all"} if "hf/" in name else {}))
    optimizer = torch.optim.SGD(model.parameters(), lr=1e-2)
    for _ in range(2):  # residual branches that begin at zero let their gradient through from the second step
        optimizer.zero_grad()
        out = model(batch(kind, 4, shape, name))
        (out * torch.randn(out.shape)).sum().backward()
        optimizer.step()
    for parameter in model.parameters():
        if "hf/" in name and not parameter.requires_grad:  # the codec of PE-AV
            continue
        assert parameter.grad is not None
        assert parameter.grad.isfinite().all() and parameter.grad.abs().sum() > 0


@pytest.mark.parametrize(("kind", "name"), ENCODERS)
def test_weights_survive_safetensors(kind, name, tmp_path):
    shape = shapes(kind, name)[0]
    model = make(kind, name, shape)
    model(batch(kind, 4, shape, name))  # moves the statistics of batch norm
    safetensors.torch.save_file({k: v.contiguous() for k, v in model.state_dict().items()}, tmp_path / "w")
    other = make(kind, name, shape)
    other.load_state_dict(safetensors.torch.load_file(tmp_path / "w"))
    with torch.no_grad():
        x = batch(kind, 2, shape, name)
        assert torch.equal(model.eval()(x), other.eval()(x))


@pytest.mark.parametrize(("kind", "name"), TO_EXPORT)
def test_onnx_gives_the_same(kind, name, tmp_path):
    shape = shapes(kind, name)[1]
    keywords = {"layers": 1} if name in ("cnn_lstm", "transformer") else {}
    model = make(kind, name, shape, **keywords).eval()
    x = batch(kind, 2, shape, name)
    torch.onnx.export(model, (x,), tmp_path / "m.onnx", dynamo=True, verbose=False, optimize=False)
    session = onnxruntime.InferenceSession(tmp_path / "m.onnx", providers=["CPUExecutionProvider"])
    (out,) = session.run(None, {session.get_inputs()[0].name: x.numpy()})
    with torch.no_grad():
        expected = model(x).numpy()
    assert np.abs(out - expected).max() <= 1e-4 * max(1, np.abs(expected).max())


@pytest.mark.parametrize("name", NAMES["audio"])
def test_silence_gives_finite_embeddings(name):
    model = make("audio", name, (1, 64, 100)).eval()
    assert model(torch.full((2, 1, 64, 100), -100.0)).isfinite().all()


@pytest.mark.parametrize(("kind", "name"), [(kind, name) for kind in NAMES for name in NAMES[kind]])
def test_gradients_in_bfloat16_are_those_in_single_precision(kind, name):
    # One library's 3-D convolutions gave NaN, or gradients several times too large.
    shape = (1, 64, 100) if kind == "audio" else (4, 32, 32, 3)
    gradients = []
    for half in (False, True):
        model = make(kind, name, shape)
        for part in model.modules():
            if isinstance(part, (torch.nn.Dropout, torch.nn.Dropout3d)):
                part.p = 0.0
        with torch.autocast("cpu", torch.bfloat16, enabled=half):
            out = model(batch(kind, 4, shape)).float()
        (out * torch.linspace(-1, 1, out.numel()).reshape(out.shape)).mean().backward()
        gradients.append({n: p.grad.flatten() for n, p in model.named_parameters() if p.grad is not None})
    for weight, single in gradients[0].items():
        if single.norm() > 1e-5:  # a bias before batch norm has none but rounding's
            assert F.cosine_similarity(single, gradients[1][weight], dim=0) > 0.7, weight
            assert 0.5 < gradients[1][weight].norm() / single.norm() < 2, weight


# --- encoders of both modalities ------------------------------------------------------------------------

BOTH = [((1, 64, 100), (1, 64, 80, 3)), ((2, 33, 17), (3, 17, 31, 3))]
SMALL = {"width": 24, "heads": 2, "layers": 2, "patch": 8}


def joint(name, shapes):
    torch.manual_seed(0)
    return joint_encoders.make(name, *shapes, {"mean": -40.0, "std": 20.0}, **SMALL)


def embed_all(model, audio, video):
    """Return all kinds of embeddings of an encoder of both modalities."""
    ways = {"both": model(audio, video)}
    for side, x in (("audio", audio), ("video", video)):
        ways |= {side: model.embed_alone(side, x), f"{side} of both": model.embed_without_other(side, x)}
    return ways


@pytest.mark.parametrize("name", joint_encoders.names())
def test_joint_encoder_takes_any_size_and_batch_1(name):
    for shapes_ in BOTH:
        model = joint(name, shapes_).eval()
        with torch.no_grad():
            for n in (1, 3):
                inputs = batch("audio", n, shapes_[0]), batch("video", n, shapes_[1])
                first, second = embed_all(model, *inputs), embed_all(model, *inputs)
                assert all(x.shape == (n, model.dim) and x.isfinite().all() for x in first.values())
                assert all(torch.equal(x, second[way]) for way, x in first.items())
                assert not torch.allclose(first["both"], first["audio"])


@pytest.mark.parametrize("name", joint_encoders.names())
def test_gradient_reaches_every_parameter_of_a_joint_encoder(name):
    model = joint(name, BOTH[0])
    embeddings = embed_all(model, batch("audio", 4, BOTH[0][0]), batch("video", 4, BOTH[0][1]))
    sum((x * torch.randn(x.shape)).sum() for x in embeddings.values()).backward()
    for parameter in model.parameters():
        assert parameter.grad.isfinite().all() and parameter.grad.abs().sum() > 0


@pytest.mark.parametrize("name", joint_encoders.names())
def test_weights_of_a_joint_encoder_survive_safetensors(name, tmp_path):
    model = joint(name, BOTH[0])
    safetensors.torch.save_file(model.state_dict(), tmp_path / "w")
    other = joint_encoders.make(name, *BOTH[0], **SMALL)
    other.load_state_dict(safetensors.torch.load_file(tmp_path / "w"))
    inputs = batch("audio", 2, BOTH[0][0]), batch("video", 2, BOTH[0][1])
    with torch.no_grad():
        assert torch.equal(model.eval()(*inputs), other.eval()(*inputs))


@pytest.mark.parametrize("name", joint_encoders.names())
def test_gradients_of_a_joint_encoder_in_bfloat16_are_those_in_single_precision(name):
    gradients = []
    inputs = batch("audio", 8, BOTH[0][0]), batch("video", 8, BOTH[0][1])
    for half in (False, True):
        model = joint(name, BOTH[0])
        with torch.autocast("cpu", torch.bfloat16, enabled=half):
            out = model(*inputs).float()
        (out * torch.linspace(-1, 1, out.numel()).reshape(out.shape)).mean().backward()
        gradients.append({n: p.grad.flatten() for n, p in model.named_parameters() if p.grad is not None})
    for weight, single in gradients[0].items():
        if single.norm() > 1e-5:
            assert F.cosine_similarity(single, gradients[1][weight], dim=0) > 0.7, weight


# --- losses -------------------------------------------------------------------------------------------


def embeddings(right: bool, n=8):
    """Return embeddings that are near their match or, if not `right`, near that of the next clip."""
    torch.manual_seed(1)
    audio = F.normalize(torch.randn(n, 16), dim=1)
    video = F.normalize(audio + 0.1 * torch.randn(n, 16), dim=1)
    return audio, video if right else video.roll(1, 0)


def compute_loss(loss, audio, video):
    """Call a loss as the task does: rows i match, and row i does not match the next row."""
    n, wrong = len(audio), audio.roll(1, 0)
    if loss.pairs == "triplets":
        return loss(video, audio, wrong)
    if loss.pairs == "batch":
        return loss(audio, video, torch.eye(n, dtype=torch.bool))
    a, v = torch.cat([audio, wrong]), torch.cat([video, video])
    logits = matchers.get("distance")(audio.shape[1])(a, v)
    target = torch.cat([torch.ones(n), torch.zeros(n)])
    if loss.pairs == "quadruples":
        first = torch.cat([video, video.roll(1, 0)])
        return loss((a, first), (torch.cat([audio, audio]), v), target, logits)
    assert loss.pairs == "pairs"
    return loss(a, v, target, logits)


@pytest.mark.parametrize("name", losses.names())
def test_a_right_batch_costs_less_than_a_wrong_one(name):
    loss = losses.make(name, **toy.PARAMS.losses[name])
    assert compute_loss(loss, *embeddings(True)) < compute_loss(loss, *embeddings(False))


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16, torch.float16])
@pytest.mark.parametrize("case", ["right", "wrong", "equal", "opposite"])
@pytest.mark.parametrize("name", losses.names())
def test_loss_and_gradients_are_finite(name, case, dtype):
    audio, video = embeddings(case == "right")
    if case in ("equal", "opposite"):
        video = audio.clone() if case == "equal" else -audio
    audio, video = audio.to(dtype).requires_grad_(), video.to(dtype).requires_grad_()
    loss = losses.make(name, **toy.PARAMS.losses[name])
    value = compute_loss(loss, audio, video)
    value.backward()
    assert value.isfinite()
    assert all(x.grad is not None and x.grad.isfinite().all() for x in (audio, video, *loss.parameters()))


def test_bce_by_hand():
    logits, target = torch.tensor([2.0, -1.0]), torch.tensor([1.0, 0.0])
    value = losses.make("bce")(torch.zeros(2, 3), torch.zeros(2, 3), target, logits)
    assert value.item() == pytest.approx((math.log(1 + math.exp(-2)) + math.log(1 + math.exp(-1))) / 2)


def test_triplet_by_hand():
    # Distances of unit vectors: a right angle is sqrt(2), the opposite is 2, the same is 0.
    video = torch.tensor([[1.0, 0.0], [1.0, 0.0]])
    right = torch.tensor([[0.0, 3.0], [2.0, 0.0]])
    wrong = torch.tensor([[1.0, 0.0], [-1.0, 0.0]])
    value = losses.make("triplet", margin=0.5)(video, right, wrong)
    assert value.item() == pytest.approx((math.sqrt(2) - 0 + 0.5 + 0) / 2, abs=1e-3)


def test_infonce_by_hand():
    audio = torch.tensor([[2.0, 0.0], [0.0, 1.0]])
    video = torch.tensor([[1.0, 0.0], [0.6, 0.8]])
    # cosines [[1, .6], [0, .8]], temperature 0.5
    loss = losses.make("infonce", temperature=0.5)
    rows = math.log(1 + math.exp((0.6 - 1) / 0.5)) + math.log(1 + math.exp((0 - 0.8) / 0.5))
    columns = math.log(1 + math.exp((0 - 1) / 0.5)) + math.log(1 + math.exp((0.6 - 0.8) / 0.5))
    assert loss(audio, video, torch.eye(2, dtype=torch.bool)).item() == pytest.approx((rows + columns) / 4)
    # Two windows of one video are not each other's negatives: nothing is left to tell apart.
    assert loss(audio, video, torch.ones(2, 2, dtype=torch.bool)).item() == pytest.approx(0)


def right_angles():
    """Pairs at 0, 60, 90 and 180 degrees; the first two are matches."""
    a = torch.tensor([[1.0, 0.0]] * 4)
    b = torch.tensor([[2.0, 0.0], [0.5, math.sqrt(0.75)], [0.0, 1.0], [-1.0, 0.0]])
    return a, b, torch.tensor([1.0, 1.0, 0.0, 0.0])


def test_contrastive_by_hand():
    # distances 0, 1, sqrt 2 and 2
    value = losses.make("contrastive", margin=1.5)(*right_angles(), torch.zeros(4))
    assert value.item() == pytest.approx((0 + 1 + (1.5 - math.sqrt(2)) ** 2 + 0) / 8, abs=1e-3)


def test_cosine_by_hand():
    a, b, target = right_angles()
    loss = losses.make("cosine", margin=0.2, bce=0.1)
    # cosines 1, 1/2, 0 and -1; logits of 0 cost log 2
    assert loss(a, b, target, torch.zeros(4)).item() == pytest.approx(0.5 / 4 + 0.1 * math.log(2))
    # as if the second were no match: it is 0.3 too near
    wrong = torch.tensor([1.0, 0.0, 0.0, 0.0])
    assert loss(a, b, wrong, torch.zeros(4)).item() == pytest.approx(0.3 / 4 + 0.1 * math.log(2))


def test_multi_by_hand():
    x, y, z = (torch.tensor([v]) for v in ([1.0, 0.0], [0.0, 1.0], [0.6, 0.8]))
    loss = losses.make("multi", weight=0.03, margin=0.2)
    logits = torch.tensor([1.0])
    # Sounds x and z, pictures y and z: cos(a1, a2) 0.6, cos(v1, v2) 0.8, cos(a1, v1) 0, cos(a2, v2) 1.
    match = loss((x, y), (z, z), torch.ones(1), logits).item()
    assert match == pytest.approx(math.log(1 + math.exp(-1)) + 0.03 * (0.4 + 0.2 + 1 + 0))
    other = loss((x, y), (z, z), torch.zeros(1), logits).item()
    assert other == pytest.approx(math.log(1 + math.exp(1)) + 0.03 * (0.4 + 0.6 + 1 + 0))


def log_sigmoid(x):
    return -math.log(1 + math.exp(-x))


def test_siglip_by_hand():
    audio, video = torch.tensor([[2.0, 0.0], [0.0, 1.0]]), torch.tensor([[1.0, 0.0], [0.6, 0.8]])
    loss = losses.make("siglip", temperature=0.5, bias=-1.0)
    # cosines [[1, .6], [0, .8]]: logits 2 cos - 1
    matches, non_matches = log_sigmoid(1) + log_sigmoid(0.6), log_sigmoid(-0.2) + log_sigmoid(1)
    assert loss(audio, video, torch.eye(2, dtype=torch.bool)).item() == pytest.approx(
        -(matches + non_matches) / 2
    )
    assert loss(audio, video, torch.ones(2, 2, dtype=torch.bool)).item() == pytest.approx(-matches / 2)


def three():
    """Three clips, the first two of one label; cosines of sounds (rows) with pictures (columns)."""
    audio = torch.tensor([[1.0, 0.0], [0.0, 1.0], [1.0, 0.0]])
    video = torch.tensor([[1.0, 0.0], [0.6, 0.8], [0.0, 1.0]])
    same = torch.tensor([[True, True, False], [True, True, False], [False, False, True]])
    return audio, video, same, [[1, 0.6, 0], [0, 0.8, 1], [1, 0.6, 0]]


def test_supcon_by_hand():
    audio, video, same, cosine = three()

    def one_way(rows, match):
        costs = []
        for row, m in zip(rows, match, strict=True):
            whole = math.log(sum(math.exp(c / 0.5) for c in row))
            matches = [c / 0.5 - whole for c, is_match in zip(row, m, strict=True) if is_match]
            costs.append(-sum(matches) / len(matches))
        return sum(costs) / len(costs)

    columns = list(zip(*cosine, strict=True))
    expected = (one_way(cosine, same.tolist()) + one_way(columns, same.T.tolist())) / 2
    assert losses.make("supcon", temperature=0.5)(audio, video, same).item() == pytest.approx(
        expected, abs=1e-4
    )


def test_multi_similarity_by_hand():
    audio, video, same, cosine = three()

    def one_way(rows, match):
        costs = []
        for row, m in zip(rows, match, strict=True):
            near = sum(math.exp(-2 * (c - 0.5)) for c, is_match in zip(row, m, strict=True) if is_match)
            far = sum(math.exp(3 * (c - 0.5)) for c, is_match in zip(row, m, strict=True) if not is_match)
            costs.append(math.log(1 + near) / 2 + math.log(1 + far) / 3)
        return sum(costs) / len(costs)

    columns = list(zip(*cosine, strict=True))
    expected = (one_way(cosine, same.tolist()) + one_way(columns, same.T.tolist())) / 2
    loss = losses.make("multi_similarity", alpha=2.0, beta=3.0, base=0.5)
    assert loss(audio, video, same).item() == pytest.approx(expected, abs=1e-4)


@pytest.mark.parametrize("pairing", ["clip", "category"])
@pytest.mark.parametrize("name", losses.names())
def test_every_loss_learns_the_toy(data, tmp_path, name, pairing):
    experiment = toy.experiment(loss=name, pairing=pairing)
    toy.train(data, tmp_path, experiment, epochs=8, learning_rate=5e-3)
    model = checkpoint.load(tmp_path / "out")
    result = evaluation.evaluate(model, data, Settings(pairing, "category", 100, 0))
    assert result.metrics["correspondence"]["auc"] > 0.8


# --- matchers -----------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", matchers.names())
def test_matcher_gives_a_logit_for_each_pair(name):
    matcher = matchers.get(name)(16)
    audio, video = (x.requires_grad_() for x in embeddings(True))
    logits = matcher(audio, video)
    assert logits.shape == (8,)
    logits.sum().backward()
    assert all(x.grad.isfinite().all() for x in (audio, video, *matcher.parameters()))
    assert matcher(audio[:1], video[:1]).shape == (1,)


def test_distance_begins_with_near_is_a_match():
    matcher = matchers.get("distance")(2)
    a = torch.tensor([[1.0, 0.0], [1.0, 0.0]])
    near, far = matcher(a, torch.tensor([[5.0, 0.0], [0.0, 5.0]])).tolist()  # lengths do not matter
    assert near == pytest.approx(6.0, abs=1e-2) and far == pytest.approx(6 - 5 * math.sqrt(2), abs=1e-2)
    matcher.center()  # as for a loss that trains the matcher: random pairs are no match and no mismatch
    near, far = matcher(a, torch.tensor([[5.0, 0.0], [0.0, 5.0]])).tolist()
    assert near > 5 and far == pytest.approx(0, abs=1e-3)


# --- names --------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "registry", [audio_encoders, video_encoders, joint_encoders, losses, matchers, tasks]
)
def test_every_name_gives_its_class(registry):
    assert registry.names()
    for name in registry.names():
        cls = registry.get(name)
        assert cls.name == name
        assert cls.__doc__


def test_the_page_of_encoders_has_every_name():
    page = (ROOT / "docs/encoders.md").read_text(encoding="utf-8")
    tables = {kind: page.split(f"| {kind} encoder | network |")[1].split("\n\n")[0] for kind in NAMES}
    for kind, registry in (("audio", audio_encoders), ("video", video_encoders)):
        assert all(f"`{name}`" in tables[kind] for name in registry.names())
    assert all(f"`encoder: {name}`" in page for name in joint_encoders.names())
    for kind, families in (("audio", sound.FAMILIES), ("video", pictures.FAMILIES)):
        rows = page.split(f"| {kind} encoder | `model_type`")[1].split("\n\n")[0].splitlines()
        for model_type, family in families.items():
            (row,) = [row for row in rows if f"`{model_type}`" in row]
            assert row.endswith(f"| {', '.join(f'`{pooling}`' for pooling in family.poolings)} |")


def test_an_unknown_name_is_told_with_the_nearest():
    with pytest.raises(
        UserError, match=r"unknown loss 'triplett': did you mean triplet\? there are bce, contrastive"
    ):
        losses.get("triplett")


def test_a_new_component_is_one_file(tmp_path, monkeypatch):
    package = tmp_path / "zoo"
    package.mkdir()
    (package / "__init__.py").write_text(
        "from models.registry import Registry\nanimals = Registry('animal', __name__, __path__)\n"
    )
    (package / "cat.py").write_text("from zoo import animals\n@animals.register\nclass Tom:\n    pass\n")
    (package / "_shared.py").write_text("")
    monkeypatch.syspath_prepend(tmp_path)
    import zoo

    assert isinstance(zoo.animals, Registry)
    assert zoo.animals.names() == ("cat",)
    assert zoo.animals.get("cat").__name__ == "Tom"
