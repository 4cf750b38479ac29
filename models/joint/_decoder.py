"""The decoder of a masked autoencoder: fills in the patches that the encoder did not see."""

import torch
from torch import Tensor, nn

from models.joint._layers import transformer_layer, sine_cosine, apply_layers
from models.joint.cav_mae import SIDES, CavMae, initialize_weights, select_patches


class Decoder(nn.Module):
    """Tokens of what was kept, and where, to the patches that were masked.

    Source: CAV-MAE (arXiv 2210.07839, section 3.4); sizes are those of the encoder's `size`. Attention knows
    no order, so that tokens need not be put back in place: they carry their positions with them.
    """

    def __init__(self, encoder: CavMae) -> None:
        super().__init__()
        sizes = encoder.sizes
        width, values = sizes["decoder_width"], encoder.patch**2
        self.enter = nn.Linear(encoder.dim, width)
        self.mask_token = nn.Parameter(torch.zeros(1, 1, width))
        self.modality = nn.ParameterDict({side: torch.zeros(1, 1, width) for side in SIDES})
        for side in SIDES:
            self.register_buffer(f"{side}_positions", sine_cosine(encoder.grid[side], width))
        self.layers = nn.ModuleList(
            transformer_layer(width, sizes["decoder_heads"]) for _ in range(sizes["decoder_layers"])
        )
        self.norm = nn.LayerNorm(width)
        self.predict = nn.ModuleDict(
            {side: nn.Linear(width, values * encoder.channels[side]) for side in SIDES}
        )
        self.gradient_checkpointing = False
        initialize_weights(self)

    def forward(
        self, tokens: Tensor, keep: dict[str, Tensor], masked: dict[str, Tensor]
    ) -> dict[str, Tensor]:
        """tokens: (batch, kept sounds + kept pictures, dim). keep, masked: numbers of patches (batch, n) of
        each side. Returns the masked patches of each side, in that order: (batch, n, values)."""
        x = self.enter(tokens)
        counts = [keep[side].shape[1] for side in SIDES]
        parts, length = [], {}
        for side, seen in zip(SIDES, x.split(counts, dim=1), strict=True):
            hidden = self.mask_token.to(x.dtype).expand(len(x), masked[side].shape[1], -1)
            places = torch.cat([keep[side], masked[side]], dim=1)
            positions = select_patches(getattr(self, f"{side}_positions").expand(len(x), -1, -1), places)
            parts.append(torch.cat([seen, hidden], dim=1) + positions + self.modality[side])
            length[side] = places.shape[1]
        x = apply_layers(self.layers, torch.cat(parts, dim=1), gradient_checkpointing=self.gradient_checkpointing)
        x = self.norm(x)
        ends = dict(zip(SIDES, x.split(list(length.values()), dim=1), strict=True))
        return {side: self.predict[side](ends[side][:, keep[side].shape[1] :]) for side in SIDES}
