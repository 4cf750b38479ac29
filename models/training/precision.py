"""The precision of training: single, or mixed with bfloat16 on machines that compute in it."""

from models.device import BF16_INSTRUCTIONS, choose_device, computes_fast_in_bf16

__all__ = ["BF16_INSTRUCTIONS", "lightning_precision"]


def lightning_precision(precision: str) -> str:
    """Return the name that Lightning has for a precision of params.yaml.

    `auto` becomes mixed precision with bfloat16 if this machine computes faster in it than in single
    precision, and else single precision. Other values are Lightning's names already.
    """
    if precision != "auto":
        return precision
    return "bf16-mixed" if computes_fast_in_bf16(choose_device()) else "32-true"
