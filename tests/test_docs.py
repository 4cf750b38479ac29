"""README and docs: length, a list of all pages, links that lead somewhere, tests that exist."""

import re

import pytest

from testing.project import ROOT

PAGES = sorted(p.relative_to(ROOT).as_posix() for p in [*ROOT.glob("*.md"), *ROOT.glob("docs/*.md")])


def text(page: str) -> str:
    return (ROOT / page).read_text(encoding="utf-8")


def is_study(page: str) -> bool:
    """Whether a study wrote the page."""
    return "\nWritten by `make " in text(page)


def anchors(page: str) -> set[str]:
    """The anchors that GitHub gives to the headings of a page."""
    headings = re.findall(r"^#+ (.+)$", text(page), re.MULTILINE)
    return {re.sub(r"[^\w\- ]", "", heading.lower()).replace(" ", "-") for heading in headings}


def test_readme_is_short():
    assert len(text("README.md").splitlines()) <= 170


def test_the_index_lists_every_page():
    links = set(re.findall(r"\]\(([a-z_]+\.md)\)", text("docs/README.md")))
    pages = {p.removeprefix("docs/") for p in PAGES if p.startswith("docs/") and not is_study(p)}
    assert pages - links == {"README.md"}


@pytest.mark.parametrize("page", PAGES)
def test_links_lead_somewhere(page):
    for link in re.findall(r"\]\(([^)\s]+)\)", text(page)):
        if "://" in link:
            continue
        target, _, anchor = link.partition("#")
        path = ((ROOT / page).parent / target).resolve() if target else ROOT / page
        name = path.relative_to(ROOT).as_posix()
        assert path.exists(), f"{page}: {link}"
        if anchor:
            assert anchor in anchors(name), f"{page}: {link}"


def test_tests_that_security_names_exist():
    code = "\n".join(path.read_text(encoding="utf-8") for path in (ROOT / "tests").rglob("*.py"))
    for name in re.findall(r"`(test_\w+)`", text("docs/security.md")):
        assert f"def {name}(" in code, name
