"""The comments of params.yaml: the descriptions of the fields, beside the values that stand there."""

import shutil

import pytest
import yaml
from dvc.utils.hydra import apply_overrides

from pipeline.config import ROOT, read
from pipeline.config.documentation import PAGE, describe_values, descriptions, replace_comments
from testing import defaults

TEXT = defaults.PARAMS.read_text(encoding="utf-8")


def test_every_field_has_a_short_description():
    for key, text in descriptions().items():
        assert text and text == " ".join(text.split()) and not text.endswith("."), key
        assert len(text) <= 190, key


def test_the_projects_own_are_up_to_date():
    assert replace_comments(TEXT) == TEXT


def test_values_stay_and_comments_are_written_again():
    head, start, body = TEXT.partition("task:")
    lines = [line for line in f"{start}{body}".splitlines() if not line.lstrip().startswith("#")]
    bare = head + "".join(f"{line.partition(' #')[0].rstrip()}\n" for line in lines)
    again = replace_comments(bare)
    assert yaml.safe_load(again) == yaml.safe_load(TEXT)
    # What stands inside `set` is no field: its comments are the user's, and were cut off here.
    assert again == TEXT.replace(" # the smallest that timm has", "")


def test_what_an_experiment_wrote_stays(tmp_path):
    # DVC writes the file with ruamel.yaml.
    path = tmp_path / "params.yaml"
    shutil.copy(defaults.PARAMS, path)
    apply_overrides(path, ["train.epochs=7", "losses.triplet.margin=0.25", "+encoders.audio.lstm.layers=2"])
    apply_overrides(path, ["data.audioset.classes=[Bell,Drum,Organ]", "label='a long name: # of a column'"])
    before = read(path)
    text = replace_comments(path.read_text(encoding="utf-8"))
    path.write_text(text, encoding="utf-8")
    assert read(path) == before and before.train.epochs == 7
    assert before.data.audioset.classes == ["Bell", "Drum", "Organ"]
    assert replace_comments(text) == text
    for key in ("train.epochs", "label", "losses"):
        assert f"# {descriptions()[key][:40]}" in text


def test_a_comment_of_an_old_description_goes_whole():
    old = (
        "train:  # of old\n"
        "        # and more\n"
        "  epochs: 3 # so many\n"
        "            # and none beyond\n"
        "  # mine\n"
        "seed: 0\n"
    )
    assert replace_comments(old) == (
        "train:                  # how the stage train trains\n"
        "  epochs: 3             # one epoch takes one window of every training clip\n"
        "  # mine\n"
        "seed: 0                 # of training and evaluation\n"
    )


@pytest.mark.parametrize(
    ("schema", "words"),
    [
        ({"type": "integer", "minimum": 1, "exclusiveMaximum": 2000}, "integer from 1 below 2,000"),
        ({"anyOf": [{"type": "string"}, {"type": "null"}]}, "text or `null`"),
        ({"enum": ["a", 1]}, "`a`, `1`"),
        ({"const": True}, "`true`"),
        ({"type": "array", "items": {"type": "number"}, "minItems": 2, "maxItems": 2}, "list of 2: number"),
        (
            {"type": "array", "prefixItems": [{"type": "number"}, {"type": "boolean"}]},
            "list of number, `true`, `false`",
        ),
        ({"type": "object"}, "keys and values"),
    ],
)
def test_a_schema_in_words(schema, words):
    assert describe_values(schema) == words


def test_the_reference_has_every_key():
    page = (ROOT / PAGE).read_text(encoding="utf-8")
    for key in descriptions():
        assert f"| `{key}` |" in page or f"\n## {key}\n" in page, key
