"""Losses of pytorch-metric-learning between two modalities."""

import torch
from pytorch_metric_learning.losses import BaseMetricLossFunction
from torch import Tensor


def symmetric_loss(loss: BaseMetricLossFunction, audio: Tensor, video: Tensor, related: Tensor) -> Tensor:
    """Compute a loss with sounds as anchors and with pictures as anchors, and return the mean of both.

    audio, video: (B, dim) embeddings. related: (B, B) bool, whether sound i matches picture j; all other
    pairs are negatives. pytorch-metric-learning gets these pairs by indices, and so needs no labels.
    """
    audio, video = audio.float(), video.float()
    values = []
    for anchors, references, is_match in ((audio, video, related), (video, audio, related.T)):
        # (anchors, positives, anchors, negatives): indices of matching pairs, then of the others
        pair_indices = (*torch.where(is_match), *torch.where(~is_match))
        values.append(loss(anchors, indices_tuple=pair_indices, ref_emb=references))
    return (values[0] + values[1]) / 2
