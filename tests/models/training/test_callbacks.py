"""Lightning's callbacks with our settings."""

import torch

from models import checkpoint
from models.training.recorder import Recorder
from testing.toy import train


def test_weights_are_averaged_over_epochs(data, tmp_path, monkeypatch):
    """Of two runs that differ in nothing else, one keeps the mean of what the other had after each epoch."""
    seen = []
    save = Recorder._log

    def noting(self):
        save(self)
        if self.history:
            seen.append({k: v.clone() for k, v in self.module.state_dict().items()})

    began = Recorder.on_fit_start
    with monkeypatch.context() as m:
        m.setattr(Recorder, "_log", noting)
        m.setattr(
            Recorder,
            "on_fit_start",
            lambda self, trainer, module: (setattr(self, "module", module), began(self, trainer, module))[1],
        )
        train(data, tmp_path / "a", epochs=4)
    train(data, tmp_path / "b", epochs=4, average=[2, 3])
    found = checkpoint.load(tmp_path / "b/out").module.state_dict()
    for name, value in found.items():
        if value.is_floating_point() and name != "calibration":
            assert torch.allclose(value, (seen[1][name] + seen[2][name]) / 2, atol=1e-6), name
