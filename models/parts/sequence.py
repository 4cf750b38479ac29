"""Networks on sequences, which the audio and video encoders `lstm` and `transformer` share."""

import math

import torch
from torch import Tensor, nn


class Lstm(nn.Module):
    """A linear layer on each step, a bidirectional LSTM, and a linear layer on its outputs of all steps.

    steps, features: length of a sequence, and size of each step. dim: size of the output. inner: size of a
    step after the first linear layer. hidden, layers: of the LSTM.
    """

    def __init__(self, steps: int, features: int, dim: int, inner: int, hidden: int, layers: int) -> None:
        super().__init__()
        self.enter = nn.Linear(features, inner)
        self.lstm = nn.LSTM(inner, hidden, layers, batch_first=True, bidirectional=True)
        self.project = nn.Linear(steps * 2 * hidden, dim)

    def forward(self, sequence: Tensor) -> Tensor:
        """Map (batch, steps, features) to (batch, dim)."""
        outputs, _ = self.lstm(self.enter(sequence))  # (batch, steps, 2 * hidden)
        return self.project(outputs.flatten(1))


class Transformer(nn.Module):
    """A linear layer on each step, sinusoidal positions, transformer layers, a linear layer on all steps.

    steps, features: length of a sequence, and size of each step. dim: size of the output. inner: size of a
    step after the first linear layer. layers, heads, forward (size of the feed-forward network), dropout: of
    the transformer. Source: Attention Is All You Need (arXiv 1706.03762).
    """

    def __init__(
        self,
        steps: int,
        features: int,
        dim: int,
        inner: int,
        layers: int,
        heads: int,
        forward: int,
        dropout: float,
    ) -> None:
        super().__init__()
        self.enter = nn.Linear(features, inner)
        self.register_buffer("positions", encode_positions(steps, inner), persistent=False)
        layer = nn.TransformerEncoderLayer(inner, heads, forward, dropout, batch_first=True)
        self.layers = nn.TransformerEncoder(layer, layers, enable_nested_tensor=False)
        self.project = nn.Linear(steps * inner, dim)

    def forward(self, sequence: Tensor) -> Tensor:
        """Map (batch, steps, features) to (batch, dim)."""
        return self.project(self.layers(self.enter(sequence) + self.positions).flatten(1))


def encode_positions(steps: int, dim: int) -> Tensor:
    """Return the sinusoidal encodings of the positions in a sequence, (steps, dim).

    Sine and cosine alternate, at wavelengths from 2 pi to 20,000 pi. Source: Attention Is All You Need
    (arXiv 1706.03762, section 3.5).
    """
    frequencies = torch.exp(torch.arange(0, dim, 2) * (-math.log(10_000) / dim))
    angles = torch.arange(steps)[:, None] * frequencies
    return torch.stack([angles.sin(), angles.cos()], dim=2).flatten(1)[:, :dim]
