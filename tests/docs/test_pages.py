"""Pages of the documentation: links, pictures, and what the README states."""

import re

import pytest
from pages import PAGES, ROOT

LINKED = [*PAGES, "CONTRIBUTING.md", "CHANGELOG.md", "benchmarks/README.md", "cache/README.md"]
# Pages that MkDocs makes of notebooks.
NOTEBOOKS = {f"docs/notebooks/{path.stem}.md" for path in (ROOT / "notebooks").glob("*.ipynb")}


def read(page: str) -> str:
    return (ROOT / page).read_text("utf-8")


def links(page: str) -> list[str]:
    prose = re.sub(r"^```.*?^```$", "", read(page), flags=re.MULTILINE | re.DOTALL)
    return re.findall(r"\]\(([^)\s]+)\)", re.sub(r"`[^`]*`", "", prose))


def anchors(page: str) -> set[str]:
    """Names that MkDocs gives to the headings of a page."""
    headings = re.findall(r"^#+ (.+)$", read(page), re.MULTILINE)
    kept = (re.sub(r"[^\w\s-]", "", heading.lower().replace("`", "")).strip() for heading in headings)
    return {re.sub(r"[\s-]+", "-", heading) for heading in kept}


@pytest.mark.parametrize("page", LINKED)
def test_links_lead_somewhere(page: str) -> None:
    for link in links(page):
        if link.startswith("http"):
            continue
        path, _, anchor = link.partition("#")
        target = ((ROOT / page).parent / path).resolve() if path else ROOT / page
        name = target.relative_to(ROOT).as_posix()
        assert target.exists() or name in NOTEBOOKS, f"{page}: {link}"
        if anchor and name in PAGES:
            assert anchor in anchors(name), f"{page}: {link}"


@pytest.mark.parametrize("page", PAGES)
def test_pictures_have_a_text_that_says_what_they_show(page: str) -> None:
    for text in re.findall(r"!\[([^\]]*)\]\(", read(page)):
        assert len(text.split()) >= 3, f"{page}: {text!r}"


def test_the_readme_is_short() -> None:
    assert len(read("README.md").splitlines()) < 100


def test_the_readme_lists_the_two_commands_that_continuous_integration_runs() -> None:
    assert len(re.findall(r"^pip install \. && pnp demo$", read("README.md"), re.MULTILINE)) == 1
    assert len(re.findall(r'^pip install -e "\.\[test\]" && pytest$', read("README.md"), re.MULTILINE)) == 1


def test_the_readme_says_what_each_example_takes() -> None:
    """Time, memory and disk, in italics after each block that takes more than a moment."""
    costs = re.findall(r"\*([^*]*(?:cores?|GB|MB)[^*]*)\*", read("README.md"))
    assert len(costs) >= 4
    assert all(re.search(r"minute|second|hour", cost) for cost in costs)


def test_the_page_of_the_command_line_lists_the_verbs_that_exist() -> None:
    from pnp.cli.main import VERBS

    listed = re.findall(r"^\| `pnp (\w+)`", read("docs/reference/command-line.md"), re.MULTILINE)
    assert set(listed) == set(VERBS)


def test_every_page_is_in_the_navigation() -> None:
    navigation = set(re.findall(r"^ .*: (\S+\.md)$", read("mkdocs.yml"), re.MULTILINE))
    there = {page.removeprefix("docs/") for page in {*PAGES, *NOTEBOOKS} - {"README.md"}}
    assert navigation | {"index.md"} == there


def test_docstrings_have_examples_that_render_as_code() -> None:
    """Google style knows a section `Examples:`; under `Example:` a session becomes a quotation."""
    wrong = [
        path
        for path in (ROOT / "pnp").rglob("*.py")
        if re.search(r"^ *Example:$", path.read_text("utf-8"), re.M)
    ]
    assert not wrong
