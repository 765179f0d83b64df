"""Figures as text, for pages."""

from __future__ import annotations

import html
import io
import re

import matplotlib as mpl
from matplotlib.figure import Figure


def as_svg(figure: Figure, name: str, label: str) -> str:
    """A figure as an SVG element that takes on the text colour and the width of the page around it.

    Black, which is what text, ticks and frames are drawn in, becomes the current colour; the background is
    transparent. Text stays text.

    Args:
        figure: Figure to write.
        name: Prefix of the identifiers in it, which must differ from figure to figure on a page.
        label: Description of the figure, for those who do not see it.

    Returns:
        `<svg ...>...</svg>`, the same for the same figure.
    """
    buffer = io.StringIO()
    with mpl.rc_context({"svg.fonttype": "none", "svg.hashsalt": name}):
        figure.savefig(buffer, format="svg", transparent=True, metadata={"Date": None, "Creator": None})
    svg = buffer.getvalue()
    svg = svg[svg.index("<svg") :].rstrip()
    svg = re.sub(r"<metadata>.*?</metadata>", "", svg, flags=re.DOTALL)
    svg = re.sub(r'(\bid="|="#|url\(#)', rf"\g<1>{name}-", svg)
    svg = re.sub(r"#000000\b", "currentColor", svg)
    # Without a colour of its own, text would be black.
    opening = f'<svg role="img" aria-label="{html.escape(label)}" fill="currentColor" '
    svg = re.sub(r'<svg\b([^>]*?) width="[^"]*"', r"<svg\1", svg, count=1)
    svg = re.sub(r'<svg\b([^>]*?) height="[^"]*"', r"<svg\1", svg, count=1)
    return opening + svg[len("<svg ") :]
