"""Results of a scene: landscapes of all losses, and how far the metric describes them."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Any

from pnp.landscapes.statistics import LandscapeNumbers, NeighbourAgreement

__all__ = ["FormAgreement", "ModelCheck", "SceneResult"]


@dataclass(frozen=True)
class ModelCheck:
    """Check of the model that scattering descents use, against true evaluations.

    Attributes:
        points: Random points at which losses and gradients were compared.
        loss_error: Largest relative error of the loss there.
        gradient_cosine: Least cosine between both gradients there.
        descents: Descents that were repeated with true evaluations.
        end_distance_cells: Largest distance between the ends of both, in cells of the grid.
        true_reached: Share of the true descents that reach the target.
    """

    points: int
    loss_error: float
    gradient_cosine: float
    descents: int
    end_distance_cells: float
    true_reached: float


@dataclass(frozen=True)
class FormAgreement:
    """Agreement of the quadratic form of a metric with the true loss.

    Attributes:
        radius: Distance from the target up to which they agree, by the name of each direction.
        least_radius: The least of these.
        metric: Metric at the target.
        pairs: The same for the metric of every grid point, against points some cells away.
    """

    radius: dict[str, float]
    least_radius: float
    metric: list[list[float]]
    pairs: list[NeighbourAgreement]


@dataclass(frozen=True)
class SceneResult:
    """Numbers of a scene.

    Attributes:
        synthesizer: Description of the synthesizer.
        features: Description of the feature map of each loss.
        target: Physical parameters of the target, by name.
        parameters: Name, range, scale and unit of the two parameters.
        steps: Evaluations in a descent.
        claims: Numbers by loss, and then by shift.
        model: Check of the model that scattering descents use.
        pnp: Agreement of PNP loss with the scattering loss.
    """

    synthesizer: dict[str, Any]
    features: dict[str, Any]
    target: dict[str, float]
    parameters: list[dict[str, Any]]
    steps: int
    claims: dict[str, dict[str, LandscapeNumbers]]
    model: ModelCheck
    pnp: FormAgreement

    def to_dict(self) -> dict[str, Any]:
        """Return all numbers for JSON."""
        claims = {
            loss: {title: numbers.to_dict() for title, numbers in by_shift.items()}
            for loss, by_shift in self.claims.items()
        }
        return asdict(self) | {"claims": claims}

    @classmethod
    def from_dict(cls, data: Mapping[str, Any]) -> SceneResult:
        """Read what `to_dict` returned.

        Args:
            data: A scene of `landscapes.json`.
        """
        claims = {
            loss: {title: LandscapeNumbers.from_dict(numbers) for title, numbers in by_shift.items()}
            for loss, by_shift in data["claims"].items()
        }
        pairs = [NeighbourAgreement(**pair) for pair in data["pnp"]["pairs"]]
        typed = {
            "claims": claims,
            "model": ModelCheck(**data["model"]),
            "pnp": FormAgreement(**{**data["pnp"], "pairs": pairs}),
        }
        return cls(**{**data, **typed})
