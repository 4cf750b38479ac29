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
        """Map (batch, tokens, width) to the same shape. timm's other arguments are ignored."""
        q, k, v = self.qkv(x).unflatten(2, (3, self.num_heads, self.head_dim)).permute(2, 0, 3, 1, 4)
        if x.device.type == "cpu":
            with torch.autocast("cpu", enabled=False):
                y = F.scaled_dot_product_attention(q.float(), k.float(), v.float())
        else:
            y = F.scaled_dot_product_attention(q, k, v)
        return self.proj(y.transpose(1, 2).flatten(2))


def transformer_layer(width: int, heads: int) -> Block:
    """Create a pre-norm transformer layer with fused attention and an MLP four times as wide."""
    return Block(width, heads, qkv_bias=True, norm_layer=nn.LayerNorm, attn_layer=Attention)


class JointLayer(nn.Module):
    """A layer with shared weights for the kinds audio, video and both, and separate layer norms for each.

    Maps (batch, tokens, width) to the same shape. Source: CAV-MAE (arXiv 2210.07839, section 3.3).
    """

    def __init__(self, width: int, heads: int, kinds: tuple[str, ...]) -> None:
        super().__init__()
        self.norm1 = nn.ModuleDict({kind: nn.LayerNorm(width) for kind in kinds})
        self.attn = Attention(width, heads, qkv_bias=True)
        self.norm2 = nn.ModuleDict({kind: nn.LayerNorm(width) for kind in kinds})
        self.mlp = timm.layers.Mlp(width, 4 * width)

    def forward(self, x: Tensor, kind: str) -> Tensor:
        x = x + self.attn(self.norm1[kind](x))
        return x + self.mlp(self.norm2[kind](x))


def apply_layers(
    layers: nn.ModuleList, x: Tensor, *kind: str, gradient_checkpointing: bool = False
) -> Tensor:
    """Apply all layers in turn.

    kind: of a JointLayer. gradient_checkpointing: compute activations again in the backward pass.
    """
    for layer in layers:
        if gradient_checkpointing and torch.is_grad_enabled():
            x = checkpoint(layer, x, *kind, use_reentrant=False)
        else:
            x = layer(x, *kind)
    return x


def sine_cosine(grid: tuple[int, int], width: int) -> Tensor:
    """Return positional encodings (1, rows * columns, width): first half the column, second half the row.

    Each half has sines, then cosines, at wavelengths from 2 pi to 20,000 pi. Source: MAE (arXiv 2111.06377),
    as in CAV-MAE. Raises ValueError unless width is a multiple of 4.
    """
    if width % 4:
        raise ValueError(f"width {width} is not a multiple of 4")
    rate = 1.0 / 10_000 ** (torch.arange(width // 4, dtype=torch.double) / (width / 4))

    def encode(numbers: Tensor) -> Tensor:
        angle = numbers.flatten()[:, None].double() * rate
        return torch.cat([angle.sin(), angle.cos()], dim=1)

    rows, columns = torch.meshgrid(*(torch.arange(n) for n in grid), indexing="ij")
    return torch.cat([encode(columns), encode(rows)], dim=1).float()[None]
