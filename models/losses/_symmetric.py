"""Losses of pytorch-metric-learning between two modalities."""

import torch
from torch import Tensor


def symmetric_loss(loss, audio: Tensor, video: Tensor, related: Tensor) -> Tensor:
    """Compute the mean of the loss with sounds as anchors and with pictures as anchors.

    audio, video: (B, dim). related: (B, B) bool, which pairs match; it replaces the labels.
    """
    audio, video = audio.float(), video.float()
    values = []
    for anchors, references, match in ((audio, video, related), (video, audio, related.T)):
        pairs = (*torch.where(match), *torch.where(~match))
        values.append(loss(anchors, indices_tuple=pairs, ref_emb=references))
    return (values[0] + values[1]) / 2
