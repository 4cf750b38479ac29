"""The supervised contrastive loss: InfoNCE with several matches for each anchor."""

from pydantic import PositiveFloat
from pytorch_metric_learning.losses import SupConLoss
from torch import Tensor, nn

from models.losses import losses
from models.losses._symmetric import symmetric_loss


@losses.register
class Supcon(nn.Module):
    """mean_i mean_{p in P(i)} -log(exp(cos(a_i, v_p) / t) / sum_j exp(cos(a_i, v_j) / t)), the mean of this
    and of the same with pictures as anchors.

    a_i is the embedding of sound i, the anchor, v_j that of picture j, and t the temperature. P(i) are
    the pictures that match sound i; j runs over all pictures of the batch.
    Source: Supervised Contrastive Learning (arXiv 2004.11362, equation 2, L_out), from
    pytorch-metric-learning, between two modalities.
    Needs: the whole batch; clips of one label (or video) all match each other.
    """

    pairs = "batch"
    trains_matcher = False

    def __init__(self, *, temperature: PositiveFloat) -> None:
        super().__init__()
        self.loss = SupConLoss(temperature=temperature)

    def forward(self, audio: Tensor, video: Tensor, related: Tensor) -> Tensor:
        """Compute the loss of a batch: embeddings (B, dim) twice, whose rows i match.

        related: (B, B) bool, which other sounds and pictures match, too.
        """
        return symmetric_loss(self.loss, audio, video, related)
