"""Losses of pytorch-metric-learning, between two modalities."""

import torch
from torch import Tensor


def symmetric_loss(loss, audio: Tensor, video: Tensor, same: Tensor) -> Tensor:
    """The mean of sounds against pictures and pictures against sounds.

    Every pair of the batch is handed over: (B, B) `same` says which of them match, and no label is needed.
    """
    audio, video = audio.float(), video.float()
    values = []
    for anchors, others, match in ((audio, video, same), (video, audio, same.T)):
        pairs = (*torch.where(match), *torch.where(~match))
        values.append(loss(anchors, indices_tuple=pairs, ref_emb=others))
    return (values[0] + values[1]) / 2
