"""Lightning's callbacks with our settings."""

import torch

from models import checkpoint
from models.training.recorder import Recorder
from testing.toy import train


def test_weights_are_averaged_over_epochs(data, tmp_path, monkeypatch):
    """A run with averaging has the mean of the weights after epochs of a run without."""
    weights = []
    log = Recorder._write_curves

    def log_and_copy(self):
        log(self)
        if self.history:
            weights.append({k: v.clone() for k, v in self.module.task.state_dict().items()})

    on_fit_start = Recorder.on_fit_start
    with monkeypatch.context() as m:
        m.setattr(Recorder, "_write_curves", log_and_copy)
        m.setattr(
            Recorder,
            "on_fit_start",
            lambda self, trainer, module: (
                setattr(self, "module", module),
                on_fit_start(self, trainer, module),
            )[1],
        )
        train(data, tmp_path / "a", epochs=4)
    train(data, tmp_path / "b", epochs=4, average=[2, 3])
    averaged = checkpoint.load(tmp_path / "b/out").module.state_dict()
    for name, value in averaged.items():
        if value.is_floating_point() and name != "calibration":
            assert torch.allclose(value, (weights[1][name] + weights[2][name]) / 2, atol=1e-6), name
