"""Retrieval between sounds and pictures of VGGSound: 1,545 test clips, 5 of each of 309 classes."""

from pipeline.metrics.protocols._retrieval import Retrieval


class VggsoundRetrieval(Retrieval):
    """The list of CAV-MAE Sync; ids are `<YouTube id>_<first second, six digits>`."""

    lists = ("vgg_test_5_per_class_for_retrieval_template.json",)
    data = "VGGSound, 1,545 test clips"
    source = "CAV-MAE Sync, arXiv 2505.01237; edsonroteia/cav-mae-sync"


PROTOCOL = VggsoundRetrieval()
