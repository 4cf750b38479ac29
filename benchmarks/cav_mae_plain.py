"""CAV-MAE's pretraining step the plain way, as published code does it: what benchmarks.cav_mae compares with.

The same network and loss, our own code. Float32 inputs, normalised whole before the model sees them; every
patch is embedded by a convolution, and those kept are gathered afterwards; attention is materialised; tokens
are put back in place (unshuffled) before the decoder, which predicts every patch, and the mask selects from
the error. Each layer has three norms, for sound, picture and both. Source: arXiv 2210.07839.
"""

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from models.joint.cav_mae import KINDS, SIDES
from models.video._frames import MEAN, STD

SMALL = 1e-6  # added to a patch's variance


def prepare(audio: Tensor, video: Tensor, mean: float, std: float) -> dict[str, Tensor]:
    """Windows as stored to what the plain network is given, on the host: (batch, channels, freq, time) and
    (batch, 3, height, width) float32, the middle frame, all of it normalised."""
    picture = video[:, video.shape[1] // 2].permute(0, 3, 1, 2).float().div(255)
    colour = (torch.tensor(x).view(1, 3, 1, 1) for x in (MEAN, STD))
    return {
        "audio": (audio.float() - mean) / std,
        "video": ((picture - next(colour)) / next(colour)).contiguous(),
    }


class Attention(nn.Module):
    def __init__(self, ours: nn.Module) -> None:
        super().__init__()
        self.qkv, self.proj, self.heads = ours.qkv, ours.proj, ours.num_heads

    def forward(self, x: Tensor) -> Tensor:
        batch, count, width = x.shape
        q, k, v = self.qkv(x).reshape(batch, count, 3, self.heads, -1).permute(2, 0, 3, 1, 4)
        weights = ((q @ k.transpose(-2, -1)) * q.shape[-1] ** -0.5).softmax(-1)
        return self.proj((weights @ v).transpose(1, 2).reshape(batch, count, width))


class Layer(nn.Module):
    """A pre-norm layer with norms for each of KINDS. Where ours has one alone, it serves `kind`."""

    def __init__(self, ours: nn.Module, kind: str) -> None:
        super().__init__()
        self.norm1, self.norm2 = (self._norms(norm, kind) for norm in (ours.norm1, ours.norm2))
        self.attn, self.mlp = Attention(ours.attn), ours.mlp

    @staticmethod
    def _norms(norm: nn.Module, kind: str) -> nn.ModuleDict:
        if isinstance(norm, nn.ModuleDict):
            return norm
        return nn.ModuleDict(
            {k: norm if k == kind else nn.LayerNorm(norm.normalized_shape, norm.eps) for k in KINDS}
        )

    def forward(self, x: Tensor, kind: str) -> Tensor:
        x = x + self.attn(self.norm1[kind](x))
        return x + self.mlp(self.norm2[kind](x))


class Plain(nn.Module):
    """Takes the weights of a module of ours (models.tasks.pretraining), which are not copied."""

    def __init__(self, module: nn.Module) -> None:
        super().__init__()
        encoder, decoder = module.encoder, module.decoder
        self.patch, self.grid, self.settings = encoder.patch, encoder.grid, module.settings
        self.mean, self.std = encoder.audio_mean.item(), encoder.audio_std.item()
        self.embed = nn.ModuleDict({side: self._convolution(encoder.embed[side]) for side in SIDES})
        self.modality, self.positions = encoder.modality, encoder.positions
        self.towers = nn.ModuleDict(
            {side: nn.ModuleList(Layer(layer, side) for layer in encoder.towers[side]) for side in SIDES}
        )
        self.joint = nn.ModuleList(Layer(layer, "both") for layer in encoder.joint)
        self.norms = encoder.norms
        self.enter, self.mask_token, self.decoder_modality = (
            decoder.enter,
            decoder.mask_token,
            decoder.modality,
        )
        for side in SIDES:
            self.register_buffer(f"{side}_positions", getattr(decoder, f"{side}_positions"))
        self.decoder = nn.ModuleList(Layer(layer, "both") for layer in decoder.layers)
        self.norm, self.predict = decoder.norm, decoder.predict

    def _convolution(self, linear: nn.Linear) -> nn.Conv2d:
        side = self.patch
        weight = linear.weight.detach().unflatten(1, (side, side, -1)).permute(0, 3, 1, 2)
        convolution = nn.Conv2d(weight.shape[1], weight.shape[0], side, side)
        with torch.no_grad():
            convolution.weight.copy_(weight)
            convolution.bias.copy_(linear.bias)
        return convolution.to(weight.device)

    def patches(self, side: str, x: Tensor) -> Tensor:
        """(batch, channels, high, wide) to (batch, patches, values)."""
        (rows, columns), p = self.grid[side], self.patch
        x = x.reshape(len(x), x.shape[1], rows, p, columns, p)
        return torch.einsum("bcrpsq->brspqc", x).reshape(len(x), rows * columns, -1)

    def encoded(self, side: str, x: Tensor, keep: Tensor) -> Tensor:
        tokens = self.embed[side](x).flatten(2).transpose(1, 2)
        tokens = tokens + self.positions[side] + self.modality[side]
        tokens = tokens.gather(1, keep[:, :, None].expand(-1, -1, tokens.shape[2]))
        for layer in self.towers[side]:
            tokens = layer(tokens, side)
        return tokens

    def fuse(self, tokens: Tensor, kind: str) -> Tensor:
        for layer in self.joint:
            tokens = layer(tokens, kind)
        return self.norms[kind](tokens)

    def decode(self, tokens: Tensor, back: dict[str, Tensor]) -> dict[str, Tensor]:
        """back: of each side the place of each patch among those kept and those masked, (batch, patches)."""
        tokens, parts = self.enter(tokens), []
        tokens_by_side = dict(
            zip(SIDES, tokens.split([self.n_visible[side] for side in SIDES], dim=1), strict=True)
        )
        for side in SIDES:
            lacking = back[side].shape[1] - tokens_by_side[side].shape[1]
            hidden = self.mask_token.repeat(len(tokens), lacking, 1)
            x = torch.cat([tokens_by_side[side], hidden], dim=1)
            x = x.gather(1, back[side][:, :, None].expand(-1, -1, x.shape[2]))  # unshuffled
            parts.append(x + getattr(self, f"{side}_positions") + self.decoder_modality[side])
        x = torch.cat(parts, dim=1)
        for layer in self.decoder:
            x = layer(x, "both")
        ends = self.norm(x).split([back[side].shape[1] for side in SIDES], dim=1)
        return {side: self.predict[side](end) for side, end in zip(SIDES, ends, strict=True)}

    def forward(
        self, inputs: dict[str, Tensor], keep: dict[str, Tensor], masked: dict[str, Tensor]
    ) -> dict[str, Tensor]:
        """Return loss, audio, video (errors), contrastive, contrastive_accuracy.

        inputs: of `prepare`, cut to whole patches. keep, masked: as `Pretraining.draw_masks` returns them.
        """
        self.n_visible = {side: keep[side].shape[1] for side in SIDES}
        back = {side: torch.cat([keep[side], masked[side]], dim=1).argsort(1) for side in SIDES}
        tokens = {side: self.encoded(side, inputs[side], keep[side]) for side in SIDES}
        reconstructions = self.decode(
            self.fuse(torch.cat([tokens[side] for side in SIDES], dim=1), "both"), back
        )
        errors = {side: self.error(side, reconstructions[side], inputs[side], back[side]) for side in SIDES}
        vectors = [F.normalize(self.fuse(tokens[side], side).mean(1).float(), dim=1) for side in SIDES]
        similarity = vectors[0] @ vectors[1].T / self.settings["temperature"]
        errors["contrastive"] = -similarity.log_softmax(0).diag().mean()
        right = similarity.detach().softmax(0).argmax(0) == torch.arange(len(back["audio"])).to(
            similarity.device
        )
        loss = self.settings["reconstruction"] * (errors["audio"] + errors["video"])
        loss = loss + self.settings["contrastive"] * errors["contrastive"]
        return {"loss": loss, **errors, "contrastive_accuracy": right.float().mean()}

    def error(self, side: str, reconstruction: Tensor, x: Tensor, back: Tensor) -> Tensor:
        target = self.patches(side, x)
        mean, var = target.mean(-1, keepdim=True), target.var(-1, keepdim=True)
        target = (target - mean) / (var + SMALL) ** 0.5
        mask = (back >= self.n_visible[side]).float()
        return (((reconstruction - target) ** 2).mean(-1) * mask).sum() / mask.sum()
