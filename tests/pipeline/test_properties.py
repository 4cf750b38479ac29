"""Any parameters are right, or answered with one line."""

import json
import tempfile
from pathlib import Path

import pytest
import yaml
from hypothesis import given
from hypothesis import strategies as st

from pipeline import config
from pipeline.config import Params
from pipeline.config.reader import ParamsLoader
from pipeline.errors import UserError
from testing import defaults
from testing.strategies import max_examples, odd_texts, text

OWN = yaml.load(defaults.PARAMS.read_text(encoding="utf-8"), ParamsLoader)


def keys(values: dict, path: tuple = ()) -> list[tuple]:
    paths = []
    for name, value in values.items():
        paths.append((*path, name))
        if isinstance(value, dict):
            paths += keys(value, (*path, name))
    return paths


scalars = (
    st.none() | st.booleans() | st.integers() | st.floats() | text | odd_texts | st.dates() | st.datetimes()
    | st.binary(max_size=4)
    | st.sampled_from([0, 1, -1, 2**63, 10**30, 1e-5, 1e308, "timm/x", "torchvision/resnet18", "cnn", "null"])
)  # fmt: skip
anything = st.recursive(
    scalars,
    lambda inner: (
        st.lists(inner, max_size=3) | st.dictionaries(text | st.integers() | st.none(), inner, max_size=3)
    ),
    max_leaves=6,
)


def read(values: object) -> Params:
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder, "params.yaml")
        path.write_text(yaml.dump(values, Dumper=yaml.CSafeDumper, sort_keys=False), encoding="utf-8")
        return config.read(path)


@max_examples(150)
@given(st.sampled_from(keys(OWN)), anything, st.booleans())
def test_any_value_at_any_key_is_valid_or_an_error(key, value, more):
    values = json.loads(json.dumps(OWN))
    *sections, last = key
    parent = values
    for section in sections:
        parent = parent[section]
    parent[f"{last}x" if more else last] = value
    try:
        params = read(values)
    except UserError as e:
        assert "params.yaml" in str(e) and len(str(e)) < 5000
        return
    assert read(params.model_dump()) == params  # what is right comes back as it is


@max_examples(60)
@given(anything)
def test_any_value_as_a_file_is_an_error(value):
    with pytest.raises(UserError):
        read(value)


@max_examples(100)
@given(
    st.dictionaries(
        st.sampled_from([".".join(k) for k in keys(OWN)]) | text | odd_texts, anything, max_size=2
    )
)
def test_any_settings_of_a_table_are_valid_or_an_error(changes):
    whole = Params.model_validate(OWN)
    try:
        params = config.apply_settings(whole, changes, "study.yaml: set")
    except UserError as e:
        assert str(e).startswith("study.yaml: set")
        return
    assert isinstance(params, Params) and whole == Params.model_validate(OWN)
