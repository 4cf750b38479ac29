"""The multi-similarity loss: pairs weighted by their similarity, and relative to other pairs."""

from pydantic import PositiveFloat
from pytorch_metric_learning.losses import MultiSimilarityLoss
from torch import Tensor, nn

from models.losses import losses
from models.losses._symmetric import symmetric_loss


@losses.register
class MultiSimilarity(nn.Module):
    """mean_i log(1 + sum_P exp(-alpha (s - base))) / alpha + log(1 + sum_N exp(beta (s - base))) / beta.

    s is the cosine of the embeddings of anchor i and of an item of the other modality. P are the items
    that match i, N those that do not. The loss is computed with sounds as anchors and with pictures as
    anchors, and the result is the mean of both.
    Source: Wang et al., Multi-Similarity Loss (CVPR 2019, arXiv 1904.06627, equation 8), from
    pytorch-metric-learning, with constants 2, 50 and 0.5.
    Needs: the whole batch; clips of one label (or video) all match each other.
    """

    pairs = "batch"
    trains_matcher = False

    def __init__(self, *, alpha: PositiveFloat, beta: PositiveFloat, base: float) -> None:
        super().__init__()
        self.loss = MultiSimilarityLoss(alpha=alpha, beta=beta, base=base)

    def forward(self, audio: Tensor, video: Tensor, related: Tensor) -> Tensor:
        """Compute the loss of a batch: embeddings (B, dim) twice, whose rows i match.

        related: (B, B) bool, which other sounds and pictures match, too.
        """
        return symmetric_loss(self.loss, audio, video, related)
