"""Agreement of feature maps with listeners, study by study, kept as soon as it is known."""

from __future__ import annotations

import hashlib
import json
import sys
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from .agreement import DISTANCES, agreement, distances
from .maps import Representation
from .studies import Study

__all__ = ["Results", "coefficients_of", "measure"]

_VERSION = 1  # of the measure: results of another one are not taken over


class Results:
    """Numbers in a JSON file, which is written after each study.

    Args:
        path: File; None keeps nothing.
        settings: Settings of the measure. Results of other settings are refused.

    Raises:
        ValueError: If the file has results of other settings.
    """

    def __init__(self, path: Path | None, settings: dict[str, Any]) -> None:
        self.path = path
        self.content: dict[str, Any] = {"version": _VERSION, "settings": settings, "maps": {}}
        if path is not None and path.exists():
            kept = json.loads(path.read_text("utf-8"))
            for key in ("version", "settings"):
                if kept.get(key) != self.content[key]:
                    raise ValueError(
                        f"{path} has results of {key} {kept.get(key)}; expected {self.content[key]}. "
                        "Choose another file, or remove this one."
                    )
            self.content = kept

    def of(self, name: str, config: Any) -> dict[str, Any]:
        """Results of a map by study; empty if there are none, or if its settings were others."""
        found = self.content["maps"].get(name)
        if found is None or found["config"] != json.loads(json.dumps(config)):
            found = self.content["maps"][name] = {"config": config, "studies": {}}
        studies: dict[str, Any] = found["studies"]
        return studies

    def save(self) -> None:
        """Write the file, whole or not at all."""
        if self.path is None:
            return
        self.path.parent.mkdir(parents=True, exist_ok=True)
        part = self.path.with_suffix(".part")
        part.write_text(json.dumps(self.content, indent=1) + "\n", "utf-8")
        part.replace(self.path)


def measure(
    representations: Iterable[Representation],
    studies: Iterable[Study],
    results: Results,
    scratch: Path | None = None,
) -> list[str]:
    """Measure what is not known yet.

    Args:
        representations: Representations to measure.
        studies: On which studies.
        results: Folder of the results.
        scratch: Folder that keeps coefficients between runs, for other compressions of them to take no time.

    Returns:
        Names of all feature maps of `representations`.
    """
    names = []
    studies = list(studies)
    for representation in representations:
        maps = representation.map_names()
        names += maps.values()
        tables = {head: results.of(name, dict(representation.config)) for head, name in maps.items()}
        due = {
            study.name: [
                head
                for head, table in tables.items()
                if table.get(study.name, {}).get("digest") != study.digest()
            ]
            for study in studies
        }
        missing = [study for study in studies if due[study.name]]
        for study, coefficients in coefficients_of(representation, missing, scratch):
            for head in due[study.name]:
                tables[head][study.name] = _scores(representation.heads[head](coefficients), study) | {
                    "digest": study.digest()
                }
            results.save()
        sys.stderr.write(f"{representation.name}: measured on {len(studies)} studies\n")
    return names


def coefficients_of(
    representation: Representation, studies: Iterable[Study], scratch: Path | None = None
) -> Iterator[tuple[Study, Tensor]]:
    """Yield studies with the coefficients of their sounds, kept ones where there are any.

    Args:
        representation: Representation to compute.
        studies: Studies to compute it on.
        scratch: Folder that keeps coefficients between runs.

    Yields:
        Study, and coefficients of shape (n, ...).
    """
    function = None
    for study in studies:
        place = _place(scratch, representation, study.digest())
        if place is not None and place.exists():
            coefficients: Tensor = torch.load(place, weights_only=True)
        else:
            function = function or representation.build()
            with torch.no_grad():
                coefficients = function(study.sounds)
            if place is not None:
                place.parent.mkdir(parents=True, exist_ok=True)
                torch.save(coefficients, place)
        yield study, coefficients


def _scores(features: Tensor, study: Study) -> dict[str, Any]:
    if len(features) != len(study.sounds):
        raise ValueError(
            f"Features of the {len(study.sounds)} sounds of study {study.name} have shape {tuple(features.shape)}; "
            "expected one row a sound."
        )
    if not bool(torch.isfinite(features).all()):
        raise ValueError(f"Features of study {study.name} have NaN or infinite values.")
    return {
        "sounds": len(features),
        "features": features[0].numel(),
        **{
            kind: {
                key: round(value, 5)
                for key, value in agreement(distances(features, kind), study.ratings).items()
            }
            for kind in DISTANCES
        },
    }


def _place(scratch: Path | None, representation: Representation, digest: str) -> Path | None:
    if scratch is None:
        return None
    described = json.dumps(dict(representation.config), sort_keys=True)
    return scratch / f"{hashlib.sha256(described.encode()).hexdigest()[:16]}-{digest}.pt"
