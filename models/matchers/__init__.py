"""Matchers: two embeddings of `(batch, dim)` to one logit each, higher where they belong together."""

from models.registry import Registry

matchers = Registry("matcher", __name__, __path__)
