"""The decoder of a masked autoencoder. It predicts the patches that the encoder did not see."""

import torch
from torch import Tensor, nn

from models.joint._layers import apply_layers, encode_grid_positions, transformer_layer
from models.joint.cav_mae import SIDES, CavMae, initialize_weights, select_patches


class Decoder(nn.Module):
    """Predict masked patches from the tokens of the visible ones, for sound and picture together.

    The numbers of layers and heads and the width are those in `encoder.sizes`. The tokens of a side are first
    the visible and then the masked patches, not in the order of the picture: attention ignores the order, and
    each token gets the encoding of its position.
    Source: CAV-MAE (arXiv 2210.07839, section 3.4).
    """

    def __init__(self, encoder: CavMae) -> None:
        super().__init__()
        sizes = encoder.sizes
        width = sizes["decoder_width"]
        self.enter = nn.Linear(encoder.dim, width)
        self.mask_token = nn.Parameter(torch.zeros(1, 1, width))
        self.modality = nn.ParameterDict({side: torch.zeros(1, 1, width) for side in SIDES})
        for side in SIDES:
            self.register_buffer(f"{side}_positions", encode_grid_positions(encoder.grid[side], width))
        self.layers = nn.ModuleList(
            transformer_layer(width, sizes["decoder_heads"]) for _ in range(sizes["decoder_layers"])
        )
        self.norm = nn.LayerNorm(width)
        self.predict = nn.ModuleDict(
            {side: nn.Linear(width, encoder.patch**2 * encoder.channels[side]) for side in SIDES}
        )
        self.gradient_checkpointing = False
        initialize_weights(self)

    def forward(
        self, tokens: Tensor, visible: dict[str, Tensor], masked: dict[str, Tensor]
    ) -> dict[str, Tensor]:
        """Predict the masked patches: "audio", "video" -> (batch, n, values), in the order of `masked`.

        tokens: the encoder's tokens, first those of the audio, then those of the video: (batch, visible audio
        + visible video, dim). visible, masked: "audio", "video" -> numbers of patches, (batch, n).
        """
        tokens = self.enter(tokens)
        batch_size = len(tokens)
        n_visible = [visible[side].shape[1] for side in SIDES]
        side_tokens, n_tokens = [], []
        for side, visible_tokens in zip(SIDES, tokens.split(n_visible, dim=1), strict=True):
            mask_tokens = self.mask_token.to(tokens.dtype).expand(batch_size, masked[side].shape[1], -1)
            numbers = torch.cat([visible[side], masked[side]], dim=1)
            all_positions = getattr(self, f"{side}_positions").expand(batch_size, -1, -1)
            positions = select_patches(all_positions, numbers)
            patches = torch.cat([visible_tokens, mask_tokens], dim=1)
            side_tokens.append(patches + positions + self.modality[side])
            n_tokens.append(numbers.shape[1])
        tokens = torch.cat(side_tokens, dim=1)
        tokens = apply_layers(self.layers, tokens, gradient_checkpointing=self.gradient_checkpointing)
        outputs = dict(zip(SIDES, self.norm(tokens).split(n_tokens, dim=1), strict=True))
        predictions = {}
        for side in SIDES:
            masked_outputs = outputs[side][:, visible[side].shape[1] :]
            predictions[side] = self.predict[side](masked_outputs)
        return predictions
