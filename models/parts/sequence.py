"""Networks on sequences, which the LSTM and transformer encoders of both modalities share."""

import math

import torch
from torch import Tensor, nn


class Lstm(nn.Module):
    """Linear, bidirectional LSTM, linear over all steps. Maps (batch, steps, features) to (batch, dim)."""

    def __init__(self, steps: int, features: int, dim: int, inner: int, hidden: int, layers: int) -> None:
        super().__init__()
        self.enter = nn.Linear(features, inner)
        self.lstm = nn.LSTM(inner, hidden, layers, batch_first=True, bidirectional=True)
        self.project = nn.Linear(steps * 2 * hidden, dim)

    def forward(self, x: Tensor) -> Tensor:
        return self.project(self.lstm(self.enter(x))[0].flatten(1))


class Transformer(nn.Module):
    """Linear, sinusoidal positions, transformer layers, linear over all steps.

    Maps (batch, steps, features) to (batch, dim). Source: Attention Is All You Need (arXiv 1706.03762).
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
        self.register_buffer("positions", positions(steps, inner), persistent=False)
        layer = nn.TransformerEncoderLayer(inner, heads, forward, dropout, batch_first=True)
        self.layers = nn.TransformerEncoder(layer, layers, enable_nested_tensor=False)
        self.project = nn.Linear(steps * inner, dim)

    def forward(self, x: Tensor) -> Tensor:
        return self.project(self.layers(self.enter(x) + self.positions).flatten(1))


def positions(steps: int, dim: int) -> Tensor:
    """Return (steps, dim): sine and cosine of the step, at wavelengths of 2 pi to 20,000 pi (section 3.5)."""
    rate = torch.exp(torch.arange(0, dim, 2) * (-math.log(10_000) / dim))
    angle = torch.arange(steps)[:, None] * rate
    return torch.stack([angle.sin(), angle.cos()], dim=2).flatten(1)[:, :dim]
