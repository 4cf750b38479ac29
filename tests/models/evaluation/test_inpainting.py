"""Reconstruction is measured and shown in batches that fit, with the same masks."""

import numpy as np
import pytest
import torch

from models.evaluation import inpainting
from testing.untrained import build_untrained_model

CAV = {"patch": 8, "width": 32, "heads": 2, "layers": 1, "decoder_width": 16, "decoder_heads": 2}


def test_smaller_batches_have_the_same_masks(data, monkeypatch, capsys):
    shapes = data.audio_shape, data.video_shape
    model = build_untrained_model(*shapes, task="pretraining", encoder="cav_mae", sizes={"joint": CAV})
    clips = np.arange(len(data))
    errors = inpainting.measure_errors(model, data, clips, 10, seed=0)
    examples = inpainting.reconstruct_examples(model, data, clips, seed=0)
    assert len(examples) == inpainting.MAX_EXAMPLES
    reconstruct = model.module.reconstruct

    def fail_if_large(audio, video, **masks):
        if len(audio) > 4:
            raise torch.cuda.OutOfMemoryError("CUDA out of memory")
        return reconstruct(audio, video, **masks)

    monkeypatch.setattr(model.module, "reconstruct", fail_if_large)
    again = inpainting.measure_errors(model, data, clips, 10, seed=0)
    for modality in ("audio_mse", "video_mse"):
        assert again[modality] == pytest.approx(errors[modality], abs=1e-3)
        assert again["chance"][modality] == pytest.approx(errors["chance"][modality], abs=1e-3)
    for one, other in zip(inpainting.reconstruct_examples(model, data, clips, 0), examples, strict=True):
        assert one["clip_id"] == other["clip_id"]
        for modality, tolerance in (("audio", 1e-3), ("video", 1)):
            for image, other_image in zip(one[modality], other[modality], strict=True):
                assert np.allclose(image, other_image, atol=tolerance, equal_nan=True)
    assert capsys.readouterr().out.count("continues with 4") == 1
