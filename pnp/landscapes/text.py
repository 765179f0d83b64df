"""Numbers of loss landscapes as text."""

from __future__ import annotations

from pnp._text import percent, text_table
from pnp.landscapes.results import SceneResult

__all__ = ["HEADINGS", "as_text", "conclusions", "rows", "share_as_text"]

HEADINGS = (
    "loss",
    "target",
    "lowest point",
    "cells off",
    "downhill",
    "each",
    "cosine",
    "reached",
    "slopes",
    "relief",
)


def as_text(result: SceneResult) -> str:
    """Return the table of a scene for the terminal.

    Args:
        result: Numbers of the scene.

    Returns:
        Lines of text.
    """
    return "\n".join([text_table(HEADINGS, rows(result), "l" * len(HEADINGS)), "", *conclusions(result), ""])


def rows(result: SceneResult) -> list[tuple[str, ...]]:
    """Return the cells of a scene's table, below `HEADINGS`.

    Args:
        result: Numbers of the scene.
    """
    units = [p["unit"] for p in result.parameters]
    cells: list[tuple[str, ...]] = []
    for kind, conditions in result.claims.items():
        for title, claim in conditions.items():
            lowest = ", ".join(f"{v:.3g} {u}" for v, u in zip(claim.minimum, units, strict=True))
            offset = ", ".join(f"{off:+.1f}" for off in claim.offset)
            cells.append(
                (
                    kind,
                    title,
                    lowest,
                    offset,
                    share_as_text(claim.downhill),
                    ", ".join(map(share_as_text, claim.each)),
                    f"{claim.cosine:.2f}",
                    f"{share_as_text(claim.reached)} of {claim.starts}",
                    f"{claim.sensitivity:.2f}",
                    f"{claim.relief:.2f}",
                )
            )
    return cells


def conclusions(result: SceneResult) -> list[str]:
    """Return, for each loss, which published claims its numbers confirm.

    Args:
        result: Numbers of the scene.
    """
    lines = []
    first, second = (p["name"] for p in result.parameters)
    for kind, conditions in result.claims.items():
        shifted = {title: claim for title, claim in conditions.items() if title != "no shift"}
        at = [title for title, claim in shifted.items() if claim.minimum_at_target]
        away = [title for title in shifted if title not in at]
        reach = [claim.reached for claim in shifted.values()]
        if not away:
            where = "the lowest point is next to the target under every shift"
        elif not at:
            where = "the lowest point is away from the target under every shift"
        else:
            where = f"the lowest point is away from the target under {' and '.join(away)}, next to it under the others"
        low, high = share_as_text(min(reach)), share_as_text(max(reach))
        share = low if low == high else f"{low} to {high}"
        still = conditions["no shift"]
        slopes = [claim.sensitivity for claim in conditions.values()]
        each = [claim.each[0] for claim in conditions.values()]
        lines.append(
            f"{kind}: {where}. Descent reaches the target from {share} of the starts under a shift, from "
            f"{share_as_text(still.reached)} without one. The slope along {first} is {min(slopes):.2f} to "
            f"{max(slopes):.2f} of that along {second}, and falls towards the target at {share_as_text(min(each))} to "
            f"{share_as_text(max(each))} of the points."
        )
    return lines


def share_as_text(share: float) -> str:
    """Return a share in percent, with two digits where it is below one percent."""
    return percent(share, significant=2) if share < 0.01 else percent(share, 0)
