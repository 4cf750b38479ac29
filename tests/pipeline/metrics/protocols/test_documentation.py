"""docs/protocols.md lists every protocol."""

import pytest

from pipeline.config.fields import protocol_names
from pipeline.metrics.protocols import get
from testing.project import ROOT


@pytest.mark.parametrize("name", protocol_names())
def test_the_table_has_its_row(name):
    protocol = get(name)
    lists = ", ".join(f"`{file}`" for file in protocol.lists)
    cells = (f"`{name}`", protocol.data, lists, protocol.measures, protocol.blind_guess, protocol.source)
    assert f"| {' | '.join(cells)} |" in (ROOT / "docs/protocols.md").read_text(encoding="utf-8")
