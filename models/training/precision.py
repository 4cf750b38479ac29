"""The precision of training: single, or mixed with bfloat16 on machines that compute in it."""

import torch

# CPU instructions without which bfloat16 is slower than single precision
BF16_INSTRUCTIONS = ("avx512_bf16", "amx_bf16", "arm_bf16", "bf16")


def lightning_precision(precision: str) -> str:
    """Return the name that Lightning has for a precision of params.yaml.

    `auto` becomes mixed precision with bfloat16 if this machine computes faster in it than in single
    precision, and else single precision. Other values are Lightning's names already.
    """
    if precision != "auto":
        return precision
    if torch.cuda.is_available():
        is_fast = torch.cuda.is_bf16_supported(including_emulation=False)
    else:
        capabilities = torch.cpu.get_capabilities()
        has_instructions = any(capabilities.get(name) for name in BF16_INSTRUCTIONS)
        is_fast = has_instructions and not torch.backends.mps.is_available()
    return "bf16-mixed" if is_fast else "32-true"
