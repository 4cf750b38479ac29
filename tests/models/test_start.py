"""What the processes import that people wait for."""

import subprocess
import sys

import pytest

SLOW = ("lightning", "torchmetrics", "sklearn", "transformers")


@pytest.mark.parametrize("module", ["stages.evaluate", "models.sharing.load", "models.inference.search"])
def test_a_trained_model_is_used_without_slow_imports(module):
    code = f"import sys, {module}; print(*(name for name in {SLOW} if name in sys.modules))"
    result = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert result.stdout.split() == []
