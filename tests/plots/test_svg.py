"""Figures as text, for pages."""

import re

from pnp import plots


def drawn(name: str = "curve") -> str:
    return plots.as_svg(plots.curves({"a": [1.0, 2.0]}, "x", "y"), name, 'a "curve"')


def test_a_figure_takes_the_colour_and_the_width_of_its_page() -> None:
    svg = drawn()
    assert svg.startswith('<svg role="img" aria-label="a &quot;curve&quot;" fill="currentColor" ')
    assert "#000000" not in svg
    assert not re.search(r"<svg[^>]* (width|height)=", svg)
    assert ">x</text>" in svg


def test_the_same_figure_is_the_same_text() -> None:
    assert drawn() == drawn()


def test_figures_of_a_page_share_no_identifier() -> None:
    first, second = (set(re.findall(r'\bid="([^"]+)"', drawn(name))) for name in ("one", "two"))
    assert first
    assert not first & second
    references = set(re.findall(r'(?:="#|url\(#)([^")]+)', drawn("one")))
    assert references <= first
