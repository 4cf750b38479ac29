"""Localization: how well maps point at the object that sounds, and at nothing if none does.

`evaluate`: pointing and IoU against boxes. `negatives`: measures with one threshold for all pictures, which
also rate maps of sounds that nothing in the picture makes. `published`: what the code of EZ-VSL measures on
VGG-SS and Flickr-SoundNet, and the measure of MUSIC's duets. `boxes`, `regions`: what they are computed from.
"""

from pipeline.metrics.localization.boxes import Box, BoxPair, frame_boxes
from pipeline.metrics.localization.evaluation import evaluate

__all__ = ["Box", "BoxPair", "evaluate", "frame_boxes"]
