"""Transformer layers of CAV-MAE, composed of timm's modules."""

import timm.layers
import torch
from timm.models.vision_transformer import Block
from torch import Tensor, nn
from torch.nn import functional as F
from torch.utils.checkpoint import checkpoint


class Attention(timm.layers.Attention):
    """timm's attention, always fused, and on CPUs always in single precision.

    PyTorch's backward pass of attention in bfloat16 takes ten times as long on CPUs (docs/decisions.md).
    """

    def forward(self, x: Tensor, attn_mask: None = None, is_causal: bool = False) -> Tensor:
        """Map tokens (batch, tokens, width) to the same shape. timm's other arguments are not used."""
        projections = self.qkv(x).unflatten(2, (3, self.num_heads, self.head_dim))
        queries, keys, values = projections.permute(2, 0, 3, 1, 4)  # (batch, heads, tokens, head_dim) each
        if x.device.type == "cpu":
            with torch.autocast("cpu", enabled=False):
                outputs = F.scaled_dot_product_attention(queries.float(), keys.float(), values.float())
        else:
            outputs = F.scaled_dot_product_attention(queries, keys, values)
        return self.proj(outputs.transpose(1, 2).flatten(2))


def transformer_layer(width: int, heads: int) -> Block:
    """Create a pre-norm transformer layer with fused attention and an MLP that is four times as wide."""
    return Block(width, heads, qkv_bias=True, norm_layer=nn.LayerNorm, attn_layer=Attention)


class JointLayer(nn.Module):
    """A transformer layer for tokens of several kinds. Each kind has its own layer norms; all else is shared.

    kinds: `audio`, `video` and `both`: whether the tokens are of the sound, the picture, or both together.
    Source: CAV-MAE (arXiv 2210.07839, section 3.3).
    """

    def __init__(self, width: int, heads: int, kinds: tuple[str, ...]) -> None:
        super().__init__()
        self.norm1 = nn.ModuleDict({kind: nn.LayerNorm(width) for kind in kinds})
        self.attn = Attention(width, heads, qkv_bias=True)
        self.norm2 = nn.ModuleDict({kind: nn.LayerNorm(width) for kind in kinds})
        self.mlp = timm.layers.Mlp(width, 4 * width)

    def forward(self, tokens: Tensor, kind: str) -> Tensor:
        """Map tokens (batch, tokens, width) of one kind to the same shape."""
        tokens = tokens + self.attn(self.norm1[kind](tokens))
        return tokens + self.mlp(self.norm2[kind](tokens))


def apply_layers(
    layers: nn.ModuleList, tokens: Tensor, *kind: str, gradient_checkpointing: bool = False
) -> Tensor:
    """Apply all layers in turn to tokens (batch, tokens, width). Returns the same shape.

    kind: the kind of the tokens, if the layers are JointLayers; nothing for other layers.
    gradient_checkpointing: save memory, and compute the activations again in the backward pass.
    """
    for layer in layers:
        if gradient_checkpointing and torch.is_grad_enabled():
            tokens = checkpoint(layer, tokens, *kind, use_reentrant=False)
        else:
            tokens = layer(tokens, *kind)
    return tokens


def encode_grid_positions(grid: tuple[int, int], width: int) -> Tensor:
    """Return the sinusoidal encodings of all positions in a grid, (1, rows * columns, width), row by row.

    grid: (rows, columns). The first half of an encoding is that of the column, the second half that of the
    row. Each half has sines, then cosines, at wavelengths from 2 pi to 20,000 pi.
    Source: MAE (arXiv 2111.06377), as in CAV-MAE. Raises ValueError unless width is a multiple of 4.
    """
    if width % 4:
        raise ValueError(f"width {width} is not a multiple of 4")
    frequencies = 1.0 / 10_000 ** (torch.arange(width // 4, dtype=torch.double) / (width / 4))

    def encode(numbers: Tensor) -> Tensor:
        """Encode row or column numbers: (positions, width / 2)."""
        angles = numbers.flatten()[:, None].double() * frequencies
        return torch.cat([angles.sin(), angles.cos()], dim=1)

    rows, columns = torch.meshgrid(*(torch.arange(n) for n in grid), indexing="ij")
    return torch.cat([encode(columns), encode(rows)], dim=1).float()[None]
