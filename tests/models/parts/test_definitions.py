"""Definitions of networks come into the configuration of a saved model, and out of what people read."""

from torch import nn

from models.parts.definitions import add_definitions, without_definition


class Network(nn.Module):
    def __init__(self, definition):
        super().__init__()
        self.definition = definition


def test_each_network_gets_its_own():
    model = nn.Module()
    model.fusion = nn.Module()
    model.fusion.video = Network({"a": 1})
    model.fusion.video.inner = Network({"b": 2})  # a part of an encoder is none
    model.audio = nn.Module()
    model.audio.towers = nn.Module()
    model.audio.towers.encoders = nn.ModuleList([Network({"c": 3}), Network(None), Network({"d": 4})])
    config = {
        "encoders": {"audio": {}, "video": {"pretrained": True}, "joint": {}},
        "features": {"audio": {"towers": {"timm/x": {}, "timm/y": {}, "hf/z": {"pooling": "mean"}}}},
    }
    saved = add_definitions(config, model)
    assert saved["encoders"]["video"] == {"pretrained": True, "definition": {"a": 1}}
    assert saved["features"]["audio"]["towers"] == {
        "timm/x": {"definition": {"c": 3}},
        "timm/y": {},
        "hf/z": {"pooling": "mean", "definition": {"d": 4}},
    }
    assert config["encoders"]["video"] == {"pretrained": True}
    assert without_definition(saved["encoders"]["video"]) == {"pretrained": True}
