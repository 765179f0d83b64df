"""A sound-matching task small enough to train on in a test, held in memory."""

import math
import sys

import pytest
import torch
from torch import Tensor, nn

from pnp._torch.modes import kept, ordinary
from pnp.errors import CacheError
from pnp.losses import ParameterLoss, PNPLoss
from pnp.metric.riemannian import RiemannianMetric
from pnp.parameters import Parameter, ParameterSpace
from pnp.store.provenance import describe
from pnp.training.train import train

FOLDS = ("train", "validation", "test")

# A network that trains in a second.
SMALL = {
    "n_channels": (4, 8),
    "n_modulation_channels": (4,),
    "n_modulations": 8,
    "n_hidden": 16,
    "front_end": {"n_bands": 24, "frame_rate": 64.0, "windows": (4,)},
}


class Tones(nn.Module):
    """Sinusoids of varying pitch and decay."""

    def __init__(self) -> None:
        super().__init__()
        self.space = ParameterSpace(
            [Parameter("f", 50.0, 400.0, "log", "Hz"), Parameter("decay", 1.0, 20.0, "log", "1/s")]
        )
        self.sample_rate, self.n_samples = 1024.0, 1024

    def forward(self, theta: Tensor) -> Tensor:
        t = torch.arange(self.n_samples, dtype=theta.dtype, device=theta.device) / self.sample_rate
        return torch.exp(-theta[..., 1:2] * t) * torch.sin(2 * math.pi * theta[..., :1] * t)


class Energies(nn.Module):
    """Logarithmic energies in broad bands and four segments, smooth enough for a gradient to lead far."""

    def forward(self, x: Tensor) -> Tensor:
        energies = torch.fft.rfft(x.unflatten(-1, (4, -1)))[..., 1:].abs().square()
        octaves = torch.arange(1, energies.shape[-1] + 1, dtype=x.dtype).log2()
        bands = torch.exp(-0.5 * (octaves - torch.arange(2.0, 8.0, dtype=x.dtype)[:, None]).square())
        return torch.log1p(1e-2 * energies @ bands.T).flatten(-2)


class MemoryCache:
    """The part of a `MetricCache` that training asks for, without the file."""

    path = "cache/tones.h5"

    def __init__(self, size: int = 96, failed: tuple[int, ...] = (), keeps_features: bool = True) -> None:
        self.fingerprint = f"{size} tones"
        self.synth = Tones()
        self.config = {"synthesizer": describe(self.synth) | {"sample_rate": 1024.0, "n_samples": 1024}}
        self.space = self.synth.space
        self.u = self.space.sample(size, seed=0)
        self.theta = self.space.from_unit(self.u)
        # Five in eight for training, and three in sixteen for validation and for test each.
        self.fold = torch.tensor([0, 1, 0, 2, 0, 0, 1, 0, 0, 2, 0, 1, 0, 0, 2, 0])[torch.arange(size) % 16]
        self.ok = torch.ones(size, dtype=torch.bool)
        self.ok[list(failed)] = False
        features = Energies()
        self._features = features(self.synth(self.theta))
        # Outside of the caller's mode: torch 2.4 knows no forward mode in inference mode.
        with ordinary():
            jacobian = torch.func.vmap(
                torch.func.jacfwd(lambda u: features(self.synth(self.space.from_unit(u))))
            )(kept(self.u))
        self._jacobian = jacobian
        factor = RiemannianMetric.from_jacobian(jacobian).factor
        self._metrics = RiemannianMetric.from_factor(factor.masked_fill(~self.ok[:, None, None], torch.nan))
        self._keeps_features = keeps_features

    def __len__(self) -> int:
        return len(self.u)

    def metrics(self) -> RiemannianMetric:
        return self._metrics

    def rows(self, fold: str | None = None) -> Tensor:
        selected = self.ok if fold is None else self.ok & (self.fold == FOLDS.index(fold))
        return selected.nonzero().squeeze(1)

    @property
    def mean_squared_distance(self) -> float | None:
        if not self._keeps_features:
            return None
        return 2 * float(self._features[self.rows("train")].double().var(0).sum())

    def features(self, rows: Tensor) -> Tensor:
        if not self._keeps_features:
            raise CacheError("no features are kept")
        return self._features[rows]

    def jacobian(self, rows: Tensor) -> Tensor:
        if not self._keeps_features:
            raise CacheError("no Jacobians are kept")
        return self._jacobian[rows]


def train_small(cache, **options):
    """Train for three epochs, or as the options say, with the small network."""
    defaults = {"encoder_options": SMALL, "epochs": 3, "batch_size": 8, "progress": False}
    return train(cache, cache.synth, **(defaults | options))


def train_until_killed(cache, out, after, **options):
    """Train, with PNP loss, in a process that dies after some epochs, such as 1.5."""

    class Killed(PNPLoss):
        def forward(self, *arguments, **keywords):
            if self.training and torch.is_grad_enabled():
                self.calls = getattr(self, "calls", 0) + 1
                if self.calls > after * len(cache.rows("train")) / 8:
                    raise KeyboardInterrupt
            return super().forward(*arguments, **keywords)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(sys.modules["pnp.training.criterion"], "PNPLoss", Killed)
        with pytest.raises(KeyboardInterrupt):
            train_small(cache, out=out, **options)


def weights(result):
    return result.encoder.state_dict()


def same(a, b):
    return a.keys() == b.keys() and all(torch.equal(a[name], b[name]) for name in a)


def deterministic(history):
    return [{name: value for name, value in epoch.items() if name != "seconds"} for epoch in history]


class Diverging(nn.Module):
    """P-loss that is NaN on validation data once so many sounds were trained on."""

    def __init__(self, sounds):
        super().__init__()
        self.left = sounds

    def forward(self, u_hat, u, index):
        if u_hat.requires_grad:
            self.left -= len(u)
            return ParameterLoss()(u_hat, u)
        return ParameterLoss()(u_hat, u) if self.left > 0 else torch.tensor(math.nan)
