"""Loss landscapes of chirps and ripples, from nothing: computed, drawn, and put into numbers.

For each synthesizer a grid over two parameters is compared with one target, by joint time-frequency scattering (JTFS)
and by multiscale spectrograms (MSS), with the target as it is, or delayed. The features of a candidate do not depend on
the target: one cache of features and Jacobians serves every delay, every descent, and the PNP loss.
"""

from __future__ import annotations

import json
import random
from collections.abc import Callable, Iterator, Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor, nn

from pnp._files import write_atomically
from pnp._progress import Bar
from pnp.features.scalogram import scalogram
from pnp.features.spectrogram import MultiscaleSpectrogram
from pnp.features.standard import standard_features
from pnp.jacobian import value_and_jacobian
from pnp.landscapes.descent import descend
from pnp.landscapes.memo import memoized
from pnp.landscapes.plots import landscapes, quadratic, scalograms
from pnp.landscapes.results import FormAgreement, ModelCheck, SceneResult
from pnp.landscapes.scenes import SCENES, Scene
from pnp.landscapes.statistics import NeighbourAgreement, agreement_radius, agreement_with_neighbours, measure
from pnp.landscapes.surface import Landscape, SmoothGrid, compare, grid, streamed
from pnp.landscapes.text import as_text
from pnp.metric.riemannian import RiemannianMetric
from pnp.offline.precompute import precompute
from pnp.parameters import ParameterSpace
from pnp.store import MetricCache
from pnp.store.provenance import describe
from pnp.synths.registry import make

if TYPE_CHECKING:
    from matplotlib.figure import Figure

__all__ = ["PARTS", "run_figures"]

PARTS = ("scalograms", "chirp", "ripple")


_RANDOM = tuple(2**k for k in range(8, 13))
# Title, and the delays in samples of which each comparison draws one.
_CONDITIONS: dict[str, tuple[int, ...]] = {
    "no shift": (0,),
    "shift 2⁸ samples": (2**8,),
    "shift 2¹⁰ samples": (2**10,),
    "random shift 2⁸–2¹²": _RANDOM,
}
_SHIFTS = (0, *_RANDOM)
_LOSSES = {"JTFS": "squares", "MSS": "absolute"}
_UNITS = {"JTFS": "JTFS loss ½‖ΔS‖²", "MSS": "MSS loss (mean |Δ|)"}
_TITLES = {"JTFS": "joint time-frequency scattering", "MSS": "multiscale spectrogram"}
_STARTS = 5  # along each parameter
_CONFIRMED = 3
_RAYS = ((1, 0), (-1, 0), (0, 1), (0, -1), (1, 1), (-1, -1), (1, -1), (-1, 1))
_RADII = torch.logspace(-1.7, -0.3, 10, dtype=torch.float64)


def run_figures(
    out: Path,
    *,
    only: Sequence[str] = PARTS,
    n: int = 20,
    n_samples: int = 32768,
    steps: int = 40,
    seed: int = 0,
    jobs: int = 1,
    dpi: int = 110,
    progress: bool = True,
) -> Iterator[str]:
    """Compute landscapes and draw them.

    Results of an earlier run with the same settings, in `out/kept`, are used again.

    Args:
        out: Directory for figures (PNG and PDF), `landscapes.json` and intermediate results.
        only: Parts to make, of "scalograms", "chirp", "ripple".
        n: Points of the grid along each parameter.
        n_samples: Length of the sounds, which are sampled at 8192 Hz.
        steps: Evaluations in a descent.
        seed: Seed of the random shifts.
        jobs: Worker processes of the offline stage.
        dpi: Resolution of the PNG files.
        progress: Show progress bars.

    Yields:
        Paragraphs of text, as results come in.

    Raises:
        ValueError: If a part is unknown or the grid is too small.
    """
    unknown = sorted(set(only) - set(PARTS))
    if unknown:
        raise ValueError(f"unknown part {unknown[0]!r}, expected one of {', '.join(PARTS)}")
    if n < 4:
        raise ValueError(f"a grid needs at least 4 points along each parameter, got {n}")
    out.mkdir(parents=True, exist_ok=True)
    figures: dict[str, Figure] = {}
    results: dict[str, Any] = {"grid": n, "samples": n_samples, "seed": seed, "scenes": {}}
    if "scalograms" in only:
        figures["chirp-scalograms"] = _draw_scalograms(n_samples)
    for name in (part for part in PARTS if part in only and part in SCENES):
        study = _Study(SCENES[name], out / "kept", n, n_samples, steps, seed, jobs, progress)
        yield f"{name}: {n} × {n} sounds around {study.describe_target()}"
        result, drawn = study.run()
        results["scenes"][name] = result.to_dict()
        figures |= drawn
        yield as_text(result)
    for name, figure in figures.items():
        for suffix in ("png", "pdf"):
            figure.savefig(out / f"{name}.{suffix}", dpi=dpi)
    text = json.dumps(results, indent=2, ensure_ascii=False, allow_nan=False) + "\n"
    write_atomically(out / "landscapes.json", text)
    yield f"{len(figures)} figures, as PNG and PDF, and landscapes.json in {out}"


def _draw_scalograms(n_samples: int) -> Figure:
    panels = {}
    for gamma in (0.5, 2.0):
        for shift in (0, n_samples // 8):
            synth: Any = SCENES["chirp"].synth(shift, n_samples=n_samples)
            x = synth(torch.tensor([4.0, gamma], dtype=torch.float64))
            moduli, frequencies = scalogram(x, synth.sample_rate, 64.0, 4096.0)
            delay = f"shifted by {shift / synth.sample_rate:g} s" if shift else "not shifted"
            panels[f"4 Hz, {gamma:g} octaves/s, {delay}"] = moduli
    return scalograms(panels, frequencies, synth.sample_rate)


class _Study:
    """All losses of a scene."""

    def __init__(
        self,
        scene: Scene,
        folder: Path,
        n: int,
        n_samples: int,
        steps: int,
        seed: int,
        jobs: int,
        progress: bool,
    ) -> None:
        self.scene, self.folder, self.n, self.steps = scene, folder, n, steps
        self.seed, self.jobs, self.progress = seed, jobs, progress
        self.options = {"n_samples": n_samples}
        self.synth = scene.synth(**self.options)
        self.space: ParameterSpace = self.synth.space
        self.features: dict[str, nn.Module] = {
            "JTFS": standard_features(make(scene.name, **self.options), "mesostructures"),
            "MSS": MultiscaleSpectrogram(),
        }
        theta = torch.tensor(scene.target, dtype=torch.float64)
        self.target = self.space.to_unit(theta)
        self.grid = grid(self.space, n)
        self.points = self.grid.reshape(-1, 2)
        # One draw a grid point, the same for both losses.
        draw = random.Random(seed)
        self.draws = {
            title: torch.tensor([_SHIFTS.index(draw.choice(shifts)) for _ in self.points])
            for title, shifts in _CONDITIONS.items()
        }
        self.starts = self._starts()

    def describe_target(self) -> str:
        """Target in physical units."""
        values = zip(self.space, self.scene.target, strict=True)
        return ", ".join(f"{p.name} {value:g} {p.unit}" for p, value in values)

    def run(self) -> tuple[SceneResult, dict[str, Figure]]:
        """Compute numbers and figures."""
        name = self.scene.name
        with self._cache() as cache:
            rows = range(len(cache) - 1)
            S, J = cache.features(rows).double(), cache.jacobian(rows).double()
            metric = cache.metric(len(cache) - 1)
            origin = cache.features(len(cache) - 1).double()
        model = SmoothGrid(S.unflatten(0, (self.n, self.n)), J.unflatten(0, (self.n, self.n)))
        targets = {kind: self._targets(kind) for kind in _LOSSES}
        surfaces = {
            "JTFS": self._surfaces(self._against(S, J, targets["JTFS"])),
            "MSS": self._surfaces(self._mss(targets["MSS"])),
        }
        ends = {kind: self._descents(kind, targets[kind], model) for kind in _LOSSES}
        figures = {
            f"{name}-{kind.lower()}": landscapes(
                surfaces[kind], _UNITS[kind], f"{name.capitalize()}: {_TITLES[kind]}"
            )
            for kind in _LOSSES
        }
        found = {
            kind: {title: measure(surface, ends[kind][title]) for title, surface in surfaces[kind].items()}
            for kind in _LOSSES
        }
        agreement, figures[f"{name}-pnp"] = self._pnp(
            surfaces["JTFS"]["no shift"], metric, origin, self._neighbours(S, J)
        )
        result = SceneResult(
            synthesizer=describe(self.synth),
            features={kind: describe(module) for kind, module in self.features.items()},
            target=dict(zip(self.space.names, self.scene.target, strict=True)),
            parameters=[
                {"name": p.name, "low": p.low, "high": p.high, "scale": p.scale, "unit": p.unit}
                for p in self.space
            ],
            steps=self.steps,
            claims=found,
            model=self._confirm(model, targets["JTFS"]),
            pnp=agreement,
        )
        return result, figures

    # -- stages ----------------------------------------------------------------------------------------------

    def _cache(self) -> MetricCache:
        """Features, Jacobians and metrics of the grid, and in the last row of the target."""
        path = self.folder / f"{self.scene.name}-{self.n}-{self.options['n_samples']}.h5"
        path.parent.mkdir(parents=True, exist_ok=True)
        u = torch.cat([self.points, self.target[None]])
        precompute(
            self.synth,
            self.features["JTFS"],
            path,
            u=u,
            jobs=self.jobs,
            block=8,
            progress=self.progress,
        )
        return MetricCache(path)

    @torch.no_grad()
    def _targets(self, kind: str) -> Tensor:
        """Features of the target at each of the delays, shape (K, C)."""
        theta = torch.tensor([self.scene.target])
        sounds: list[Any] = [self.scene.synth(float(shift), **self.options) for shift in _SHIFTS]
        return torch.cat([self.features[kind](synth(theta)) for synth in sounds])

    def _against(self, S: Tensor, J: Tensor, targets: Tensor) -> Tensor:
        """Losses and gradients of the grid against every target, shape (n², K, 3), from stored features."""
        parts = [compare(S, J, target) for target in targets.double()]
        return torch.stack([torch.cat([loss.unsqueeze(-1), slope], dim=-1) for loss, slope in parts], dim=1)

    def _mss(self, targets: Tensor) -> Tensor:
        """Losses and gradients of the grid against every target, shape (n², K, 3)."""

        def compute() -> dict[str, Tensor]:
            title = f"{self.scene.name}, MSS" if self.progress else ""
            loss, gradient = streamed(
                self.synth, self.features["MSS"], self.points, targets, "absolute", progress=title
            )
            return {"values": torch.cat([loss.unsqueeze(-1), gradient], dim=-1)}

        return self._memoized("mss", {}, compute)["values"]

    def _surfaces(self, values: Tensor) -> dict[str, Landscape]:
        """Landscape under each condition, from losses and gradients against every target, shape (n², K, 3)."""
        surfaces = {}
        for title, draws in self.draws.items():
            drawn = values[torch.arange(len(values)), draws].unflatten(0, (self.n, self.n))
            surfaces[title] = Landscape(self.space, self.target, self.grid, drawn[..., 0], drawn[..., 1:])
        return surfaces

    def _starts(self) -> Tensor:
        """Return the grid points that descents start from: evenly spread, none within a cell of the target."""
        along = torch.linspace(0, self.n - 1, _STARTS).round().long()
        rows = (along[:, None] * self.n + along).flatten()
        far = (self.points[rows] - self.target).abs().amax(-1) > 2.0 / (self.n - 1)
        return rows[far]

    def _descents(self, kind: str, targets: Tensor, model: SmoothGrid) -> dict[str, Tensor]:
        """Return the ends of descents under each condition; the delay of the target is drawn for each start.

        Descents on spectrograms, which no model follows, take long and are memoized.
        """
        ends = {}
        for number, (title, draws) in enumerate(self.draws.items()):
            chosen = targets[draws[self.starts]]
            if kind == "JTFS":
                ends[title] = self._descend(model.value_and_jacobian, chosen, self.starts, kind, title)
                continue
            descents = partial(self._descend, self._true(kind), chosen, self.starts, kind, title)
            settings = {"steps": self.steps, "starts": self.starts.tolist(), "condition": title}
            ends[title] = self._memoized(f"descents-{number}", settings, partial(_as_end, descents))["end"]
        return ends

    def _descend(
        self,
        evaluate: Callable[[Tensor], tuple[Tensor, Tensor]],
        targets: Tensor,
        starts: Tensor,
        kind: str,
        title: str,
    ) -> Tensor:
        def loss(u: Tensor, rows: Tensor) -> tuple[Tensor, Tensor]:
            # A few at a time: the spectrograms of many sounds and their tangents are large.
            parts = [
                compare(*evaluate(some), targets[which].to(some.dtype), _LOSSES[kind])
                for some, which in zip(u.split(4), rows.split(4), strict=True)
            ]
            losses, gradients = zip(*parts, strict=True)
            return torch.cat(losses), torch.cat(gradients)

        shown = f"{self.scene.name}, {kind} descents, {title}" if self.progress else ""
        return descend(loss, self.points[starts], steps=self.steps, progress=shown).end

    def _true(self, kind: str) -> Callable[[Tensor], tuple[Tensor, Tensor]]:
        def evaluate(u: Tensor) -> tuple[Tensor, Tensor]:
            S, J = value_and_jacobian(self.synth, self.features[kind], u.float())
            return S.double(), J.double()

        return evaluate

    def _confirm(self, model: SmoothGrid, targets: Tensor) -> ModelCheck:
        """The model that JTFS descents use, against the truth: at random points, and in descents."""
        title = "shift 2¹⁰ samples"
        starts = self.starts[:: max(1, len(self.starts) // _CONFIRMED)][:_CONFIRMED]
        delayed = targets[_SHIFTS.index(2**10)].double()
        u = (
            1.9 * torch.rand(8, 2, dtype=torch.float64, generator=torch.Generator().manual_seed(self.seed))
            - 0.95
        )

        def compute() -> dict[str, Tensor]:
            S, J = self._true("JTFS")(u)
            chosen = targets[torch.full((len(starts),), _SHIFTS.index(2**10))]
            ends = self._descend(self._true("JTFS"), chosen, starts, "JTFS", "confirmed " + title)
            return {"S": S, "J": J, "ends": ends}

        true = self._memoized("confirmed", {"steps": self.steps, "starts": starts.tolist()}, compute)
        chosen = delayed.expand(len(starts), -1)
        ends = self._descend(model.value_and_jacobian, chosen, starts, "JTFS", "again")
        loss, gradient = compare(true["S"], true["J"], delayed)
        model_loss, model_gradient = compare(*model.value_and_jacobian(u), delayed)
        return ModelCheck(
            points=len(u),
            loss_error=float((model_loss / loss - 1.0).abs().max()),
            gradient_cosine=float(torch.cosine_similarity(gradient, model_gradient).min()),
            descents=len(starts),
            end_distance_cells=float((ends - true["ends"]).abs().max() * 0.5 * (self.n - 1)),
            true_reached=float(
                ((true["ends"] - self.target).abs() <= 2.0 / (self.n - 1)).all(-1).double().mean()
            ),
        )

    def _pnp(
        self, true: Landscape, metric: RiemannianMetric, origin: Tensor, pairs: list[NeighbourAgreement]
    ) -> tuple[FormAgreement, Figure]:
        """Quadratic form of the target's cached metric against the true loss."""
        directions = torch.nn.functional.normalize(torch.tensor(_RAYS, dtype=torch.float64), dim=-1)
        du = directions[:, None] * _RADII[:, None]

        @torch.no_grad()
        def compute() -> dict[str, Tensor]:
            blocks = (self.target + du).reshape(-1, 2).float().split(4)
            bar = Bar(blocks, desc=f"{self.scene.name}, rays", disable=not self.progress)
            S = [self.features["JTFS"](self.synth(self.space.from_unit(some))) for some in bar]
            return {"S": torch.cat(S)}

        rays = self._memoized("rays", {"radii": _RADII.tolist()}, compute)["S"].double()
        loss = 0.5 * (rays - origin).square().sum(-1).reshape(du.shape[:2])
        radius = agreement_radius(metric, du, loss)
        ratio = 0.5 * metric.distance_squared(du) / loss
        names = [_direction(ray, self.space.names) for ray in _RAYS]
        form = 0.5 * metric.distance_squared(self.grid - self.target)
        figure = quadratic(
            true, form, {name: (_RADII.tolist(), r.tolist()) for name, r in zip(names, ratio, strict=True)}
        )
        agreement = FormAgreement(
            radius=dict(zip(names, radius.tolist(), strict=True)),
            least_radius=float(radius.min()),
            metric=metric.matrix.tolist(),
            pairs=pairs,
        )
        return agreement, figure

    def _neighbours(self, S: Tensor, J: Tensor) -> list[NeighbourAgreement]:
        S, J = S.unflatten(0, (self.n, self.n)), J.unflatten(0, (self.n, self.n))
        return [agreement_with_neighbours(S, J, cells) for cells in (1, 2, 4, 8) if cells < self.n - 1]

    def _memoized(
        self, stage: str, settings: Mapping[str, Any], compute: Callable[[], Mapping[str, Tensor]]
    ) -> dict[str, Tensor]:
        """Results of a stage, with everything that all stages depend on among their settings."""
        common = {
            "scene": [self.scene.target, describe(self.synth)],
            "features": {kind: describe(module) for kind, module in self.features.items()},
            "shifts": {title: list(shifts) for title, shifts in _CONDITIONS.items()},
            "grid": self.n,
            "seed": self.seed,
        }
        path = self.folder / f"{self.scene.name}-{stage}.npz"
        return memoized(path, common | dict(settings), compute)


def _as_end(descents: Callable[[], Tensor]) -> dict[str, Tensor]:
    return {"end": descents()}


def _direction(ray: Sequence[int], names: Sequence[str]) -> str:
    signs = {1: "+", -1: "−"}
    return " ".join(signs[sign] + name for sign, name in zip(ray, names, strict=True) if sign)
