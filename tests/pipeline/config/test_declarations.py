"""Keywords of components: annotations become a JSON schema, and types that check the same."""

from collections.abc import Sequence
from pathlib import Path
from typing import Annotated, Any, Literal, Optional

import pytest
from pydantic import AfterValidator, Field, PositiveInt, TypeAdapter, ValidationError

from pipeline.config.components import STRICT
from pipeline.config.declarations import build_keywords_schema, build_type, hash_declarations
from pipeline.errors import UserError

Pair = Annotated[Sequence[float], Field(min_length=2, max_length=2)]


class Component:
    def __init__(
        self,
        dim: int,
        *,
        name: str,
        margin: float,
        width: PositiveInt = 3,
        widths: Sequence[PositiveInt] = (1, 2),
        size: Literal["tiny", "base"] = "tiny",
        share: Annotated[float, Field(gt=0, le=0.5, description="of all")] = 0.5,
        layers: Optional[int] = None,  # noqa: UP045
        range: Pair | None = None,
        weights: bool | str = False,
        sizes: tuple[int, float] = (1, 1.0),
        table: dict[str, float] | None = None,
        anything: Any = None,
    ) -> None: ...


SCHEMA = build_keywords_schema(Component)


def test_keywords_are_declared_once():
    assert SCHEMA["required"] == ["margin"]
    assert list(SCHEMA["properties"])[:2] == ["margin", "width"] and "name" not in SCHEMA["properties"]
    assert SCHEMA["properties"]["widths"]["default"] == [1, 2]
    assert SCHEMA["properties"]["share"]["description"] == "of all"


def test_a_class_without_keywords():
    class Plain:
        def __init__(self, dim: int) -> None: ...

    assert build_keywords_schema(Plain)["properties"] == {} and "required" not in build_keywords_schema(Plain)


@pytest.mark.parametrize(
    ("key", "right", "wrong"),
    [
        ("margin", [1, -0.5], ["1", True, None, float("nan")]),
        ("width", [1], [0, 1.0, True]),
        ("widths", [[], [3, 4]], [[0], "34", 3]),
        ("size", ["base"], ["huge", 1]),
        ("share", [0.5], [0.0, 0.6]),
        ("layers", [None, -3], ["3", 1.5]),
        ("range", [None, [1.0, 2]], [[1.0], [1.0, 2.0, 3.0], ["1", "2"]]),
        ("weights", [True, "file"], [1, None]),
        ("sizes", [[1, 2.0]], [[1], [1.5, 2.0], "12"]),
        ("table", [None, {"a": 1.0}], [{"a": "b"}, [1.0]]),
        ("anything", [None, "x", [1]], []),
    ],
)
def test_a_type_made_from_the_schema_checks_the_same(key, right, wrong):
    type_ = TypeAdapter(build_type(SCHEMA["properties"][key]), config=STRICT)
    for value in right:
        type_.validate_python(value)
    for value in wrong:
        with pytest.raises(ValidationError):
            type_.validate_python(value)


def with_annotation(annotation) -> type:
    def init(self, *, odd=None): ...

    init.__annotations__ = {} if annotation is None else {"odd": annotation}
    return type("Mine", (), {"__init__": init, "__module__": "models.losses.mine"})


@pytest.mark.parametrize(
    "annotation",
    [
        None,
        Path,
        set[int],
        Component,
        "Unknown",
        Annotated[int, AfterValidator(abs)],
        list[bytes],
    ],
)
def test_an_annotation_that_is_not_understood_is_named(annotation):
    with pytest.raises(UserError, match=r"^models/losses/mine\.py: Mine: .*(odd|Unknown)"):
        build_keywords_schema(with_annotation(annotation))


CODE = '''"""A loss."""
from pydantic import PositiveFloat

SIZE = 3


class Mine:
    """A loss."""

    def __init__(self, *, margin: PositiveFloat = 1.0) -> None:
        self.margin = margin

    def forward(self, x):
        """Compute."""
        return x + 1
'''


@pytest.mark.parametrize(
    ("old", "new", "is_same"),
    [
        ("x + 1", "x + 2", True),
        ('"""A loss."""', '"""Another."""', True),
        ("SIZE = 3", "SIZE = 3  # of three", True),
        ("import PositiveFloat", "import NonNegativeFloat as PositiveFloat", False),
        ("PositiveFloat = 1.0", "float = 1.0", False),
        ("= 1.0", "= 2.0", False),
        ("SIZE = 3", "SIZE = 4", False),
        ("*, margin", "*, other: int = 3, margin", False),
    ],
)
def test_the_digest_of_a_file_is_that_of_what_it_may_declare(tmp_path, old, new, is_same):
    path = tmp_path / "mine.py"
    path.write_text(CODE)
    before = hash_declarations(path)
    assert old in CODE
    path.write_text(CODE.replace(old, new))
    assert (hash_declarations(path) == before) == is_same
