"""Networks of `transformers` on a GPU keep all their tensors there. The GPU is one that computes nothing."""

import pytest
import torch

from models.audio import encoders as audio_encoders
from models.video import encoders as video_encoders
from testing import fake_gpu, hf_models

# They read values of tensors, or keep tensors of an earlier call, which fake tensors do not allow.
NOT_FAKEABLE = {"dinov3", "siglip2", "videomae"}
FAMILIES = [
    *(("audio", family) for family in hf_models.SOUND),
    *(("video", family) for family in hf_models.PICTURE if family not in NOT_FAKEABLE),
]


@pytest.mark.parametrize(("side", "family"), FAMILIES)
def test_a_network_on_a_gpu_computes_there(side, family):
    registry, shape, dtype = {
        "audio": (audio_encoders, hf_models.SOUND_SHAPE, torch.float32),
        "video": (video_encoders, hf_models.FRAMES_SHAPE, torch.uint8),
    }[side]
    module = registry.make(hf_models.make_name(family), shape, 6).eval()
    with fake_gpu.fake_gpu(module), torch.inference_mode():
        windows = torch.zeros(3, *shape, dtype=dtype).to("cuda")
        assert module(windows).device.type == "cuda"
        with fake_gpu.autocast(torch.bfloat16):
            assert module(windows).dtype == torch.bfloat16
