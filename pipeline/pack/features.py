"""The types of columns as Hugging Face `datasets` names them, in Parquet files and in a data set card."""

from typing import Any

import pyarrow as pa

Feature = dict[str, Any]
AUDIO, IMAGE, VIDEO = ({"_type": name} for name in ("Audio", "Image", "Video"))
DTYPES = {
    "double": "float64",
    "float": "float32",
    "halffloat": "float16",
}  # pyarrow's name -> that of `datasets`


def list_of(feature: Feature) -> Feature:
    """Return the feature of a list of these."""
    return {"feature": feature, "_type": "List"}


def from_arrow(data_type: pa.DataType) -> Feature:
    """Return the feature for a type of pyarrow, in the form of the metadata of a Parquet file."""
    types = pa.types
    if types.is_list(data_type) or types.is_large_list(data_type) or types.is_fixed_size_list(data_type):
        return list_of(from_arrow(data_type.value_type))
    if types.is_struct(data_type):
        return {field.name: from_arrow(field.type) for field in data_type}
    if types.is_dictionary(data_type):
        return from_arrow(data_type.value_type)
    return {"dtype": DTYPES.get(str(data_type), str(data_type)), "_type": "Value"}


def to_yaml(features: dict[str, Feature]) -> list[dict[str, Any]]:
    """Return features in the form of the section `dataset_info` of a data set card."""
    return [{"name": name, **_yaml_type(feature)} for name, feature in features.items()]


def _yaml_type(feature: Feature) -> dict[str, Any]:
    kind = feature.get("_type")
    if kind == "List":
        inner = _yaml_type(feature["feature"])
        return {"list": inner.get("dtype") or inner.get("struct") or inner}
    if kind == "Value":
        return {"dtype": feature["dtype"]}
    if isinstance(kind, str):
        return {"dtype": kind.lower()}
    return {"struct": to_yaml(feature)}
