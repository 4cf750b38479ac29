"""Transformer layers of CAV-MAE, made of timm's parts."""

import timm.layers
import torch
from timm.models.vision_transformer import Block
from torch import Tensor, nn
from torch.nn import functional as F
from torch.utils.checkpoint import checkpoint


class Attention(timm.layers.Attention):
    """timm's, always fused. On CPUs the attention itself is in single precision, whatever the layers around
    it: PyTorch's backward pass in bfloat16 takes ten times as long there (docs/decisions.md)."""

    def forward(self, x: Tensor, attn_mask: None = None, is_causal: bool = False) -> Tensor:
        """(batch, tokens, width) to the same. Of timm's other arguments nothing is asked here."""
        q, k, v = self.qkv(x).unflatten(2, (3, self.num_heads, self.head_dim)).permute(2, 0, 3, 1, 4)
        if x.device.type == "cpu":
            with torch.autocast("cpu", enabled=False):
                y = F.scaled_dot_product_attention(q.float(), k.float(), v.float())
        else:
            y = F.scaled_dot_product_attention(q, k, v)
        return self.proj(y.transpose(1, 2).flatten(2))


def transformer_layer(width: int, heads: int) -> Block:
    """One pre-norm transformer layer: fused attention and an MLP four times as wide."""
    return Block(width, heads, qkv_bias=True, norm_layer=nn.LayerNorm, attn_layer=Attention)


class JointLayer(nn.Module):
    """One layer whose weights serve sound, picture and both, with norms of their own for each.

    (batch, tokens, width) to the same. Source: CAV-MAE (arXiv 2210.07839, section 3.3).
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


def apply_layers(layers: nn.ModuleList, x: Tensor, *kind: str, gradient_checkpointing: bool = False) -> Tensor:
    """Apply all layers in turn.

    gradient_checkpointing: activations inside a layer are computed again in the backward pass.
    """
    for each in layers:
        if gradient_checkpointing and torch.is_grad_enabled():
            x = checkpoint(each, x, *kind, use_reentrant=False)
        else:
            x = each(x, *kind)
    return x


def sine_cosine(grid: tuple[int, int], width: int) -> Tensor:
    """(1, rows * columns, width): the first half of the numbers tells the column, the second the row.

    Source: MAE (arXiv 2111.06377), whose positions CAV-MAE takes: sines, then cosines, at wavelengths from
    2 pi to 20,000 pi.
    """
    if width % 4:
        raise ValueError(f"width {width} is no multiple of 4")
    rate = 1.0 / 10_000 ** (torch.arange(width // 4, dtype=torch.double) / (width / 4))

    def told(places: Tensor) -> Tensor:
        angle = places.flatten()[:, None].double() * rate
        return torch.cat([angle.sin(), angle.cos()], dim=1)

    rows, columns = torch.meshgrid(*(torch.arange(n) for n in grid), indexing="ij")
    return torch.cat([told(columns), told(rows)], dim=1).float()[None]
