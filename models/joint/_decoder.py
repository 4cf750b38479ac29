"""The decoder of a masked autoencoder: predicts the patches that the encoder did not get."""

import torch
from torch import Tensor, nn

from models.joint._layers import apply_layers, sine_cosine, transformer_layer
from models.joint.cav_mae import SIDES, CavMae, initialize_weights, select_patches


class Decoder(nn.Module):
    """Predicts masked patches from the tokens and the positions of the visible ones.

    Source: CAV-MAE (arXiv 2210.07839, section 3.4); sizes are those of the encoder's `size`. Tokens need not
    be put back in order: attention ignores it, and their positions are added to them.
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
        self, tokens: Tensor, visible: dict[str, Tensor], masked: dict[str, Tensor]
    ) -> dict[str, Tensor]:
        """Predict the masked patches of each side, in the order of `masked`: (batch, n, values).

        tokens: (batch, visible audio + visible video, dim). visible, masked: numbers of patches (batch, n) of
        each side.
        """
        x = self.enter(tokens)
        counts = [visible[side].shape[1] for side in SIDES]
        parts, lengths = [], []
        for side, visible_tokens in zip(SIDES, x.split(counts, dim=1), strict=True):
            mask_tokens = self.mask_token.to(x.dtype).expand(len(x), masked[side].shape[1], -1)
            numbers = torch.cat([visible[side], masked[side]], dim=1)
            positions = select_patches(getattr(self, f"{side}_positions").expand(len(x), -1, -1), numbers)
            parts.append(torch.cat([visible_tokens, mask_tokens], dim=1) + positions + self.modality[side])
            lengths.append(numbers.shape[1])
        x = apply_layers(
            self.layers, torch.cat(parts, dim=1), gradient_checkpointing=self.gradient_checkpointing
        )
        x = self.norm(x)
        outputs = dict(zip(SIDES, x.split(lengths, dim=1), strict=True))
        return {side: self.predict[side](outputs[side][:, visible[side].shape[1] :]) for side in SIDES}
