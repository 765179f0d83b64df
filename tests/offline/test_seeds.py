"""Random synthesizers: a seed of each sound decides what they draw, in every render of it."""

import math

import numpy as np
import pytest
import torch
from caches import content
from discrete import Spectrum
from torch import Tensor, nn

from pnp import Parameter, ParameterSpace, value_and_jacobian
from pnp.offline.draws import with_draw
from pnp.offline.precompute import precompute
from pnp.offline.verify import verify
from pnp.store import MetricCache
from pnp.synths import BlackBox, seeded_noise
from pnp.training.dataset import CacheDataset

N, RATE = 256, 2000.0
SPACE = ParameterSpace(
    [Parameter("pitch", 50.0, 400.0, "log", "Hz"), Parameter("decay", 5.0, 40.0, "log", "1/s")],
    conditions=[Parameter("velocity", 0.2, 1.0), Parameter("seed", kind="seed")],
)


class Wind(nn.Module):
    """A tone in noise, both of which decay."""

    def __init__(self, space: ParameterSpace = SPACE) -> None:
        super().__init__()
        self.space, self.sample_rate, self.n_samples = space, RATE, N

    def forward(self, theta: Tensor) -> Tensor:
        t = torch.arange(N, dtype=theta.dtype) / RATE
        noise = self.noise(theta)
        pitch, decay, velocity = theta[..., :3].unsqueeze(-2).unbind(-1)
        return velocity * torch.exp(-decay * t) * (torch.sin(2 * math.pi * pitch * t) + 0.5 * noise)

    def noise(self, theta: Tensor) -> Tensor:
        return seeded_noise(theta[..., 3], N)


class Unseeded(Wind):
    def noise(self, theta: Tensor) -> Tensor:
        return torch.randn(*theta.shape[:-1], N, dtype=theta.dtype)


def wind(pitch: float, decay: float, velocity: float, seed: int) -> np.ndarray:
    assert isinstance(seed, int)
    return Wind()(torch.tensor([[pitch, decay, velocity, seed]], dtype=torch.float64))[0].numpy()


def make(path, synth=None, **options):
    options = {"size": 8, "block": 4, "precision": "float64", "dtype": "float64"} | options
    precompute(Wind() if synth is None else synth, Spectrum(), path, progress=False, **options)
    return path


def test_a_row_has_a_seed_which_every_render_of_it_hears(tmp_path):
    with MetricCache(make(tmp_path / "a.h5")) as cache:
        seeds = cache.conditions[:, 1]
        assert torch.equal(seeds, seeds.round())
        assert len(seeds.unique()) == len(cache) == len(cache.rows())
        # The noise does not change along the parameters: the derivative is that of the rest.
        J = cache.jacobian(slice(None))
        short = value_and_jacobian(Wind(), Spectrum(), cache.design, step=1e-6)[1]
        torch.testing.assert_close(J, short, rtol=1e-4, atol=1e-6)
        assert verify(cache.path, recompute=8, synth=Wind(), features=Spectrum()).ok
        data = CacheDataset(cache, synth=Wind(), dtype=torch.float64)
        batch = data.batch([0, 1])
        assert batch["conditions"].shape == (2, 1)
        torch.testing.assert_close(batch["x"], Wind()(cache.theta[data.index[:2]]))


def test_a_program_receives_its_seed_as_an_int(tmp_path):
    box = BlackBox(wind, SPACE, RATE, N)
    with (
        MetricCache(make(tmp_path / "box.h5", box)) as numerical,
        MetricCache(make(tmp_path / "a.h5")) as exact,
    ):
        torch.testing.assert_close(numerical.metrics().matrix, exact.metrics().matrix, rtol=1e-5, atol=1e-8)


@pytest.mark.slow
def test_an_interrupted_run_draws_the_same(tmp_path, monkeypatch):
    monkeypatch.setenv("SOURCE_DATE_EPOCH", "1000000000")
    make(tmp_path / "a.h5", seeds=3)
    make(tmp_path / "b.h5", seeds=3, jobs=2)
    make(tmp_path / "b.h5", seeds=3)
    assert content(tmp_path / "a.h5") == content(tmp_path / "b.h5")


def test_a_metric_is_the_mean_over_several_seeds(tmp_path):
    with MetricCache(make(tmp_path / "a.h5", seeds=4)) as cache:
        assert cache.config["seeds"] == 4
        assert cache.stored == ("S",)
        u = cache.design
        draws = [with_draw(SPACE, u, draw) for draw in range(4)]
        assert len(torch.cat([draw[:, 3] for draw in draws]).unique()) == 4 * len(u)
        single = [value_and_jacobian(Wind(), Spectrum(), draw)[1] for draw in draws]
        mean = sum(J.mT @ J for J in single) / 4
        torch.testing.assert_close(cache.metrics().matrix, mean, rtol=1e-9, atol=1e-9)
        assert not torch.allclose(mean, single[0].mT @ single[0], rtol=0.01)
        torch.testing.assert_close(cache.features(slice(None)), value_and_jacobian(Wind(), Spectrum(), u)[0])
        assert verify(cache.path, recompute=8, synth=Wind(), features=Spectrum()).ok


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"seeds": 0}, "from 1 to 65,535, got 0"),
        ({"seeds": 2, "store": "jacobian"}, "no single J to keep"),
    ],
)
def test_seeds_that_make_no_sense_are_refused(tmp_path, options, message):
    with pytest.raises(ValueError, match=message):
        make(tmp_path / "a.h5", **options)


def test_without_a_seed_a_random_synthesizer_is_refused_with_the_remedy(tmp_path):
    bare = ParameterSpace(list(SPACE), conditions=SPACE.conditions[:1])
    with pytest.raises(ValueError, match=r"not deterministic.*Parameter\('seed', kind='seed'\)"):
        make(tmp_path / "a.h5", Unseeded(bare))
    with pytest.raises(ValueError, match=r"this one has no seed.*Parameter\('seed', kind='seed'\)"):
        make(tmp_path / "a.h5", Unseeded(bare), seeds=2)


def test_a_seed_is_a_condition_without_a_range():
    seed = Parameter("seed", kind="seed")
    assert (seed.low, seed.high, seed.is_whole) == (0.0, 65535.0, True)
    assert Parameter.from_dict(seed.to_dict()) == seed
    with pytest.raises(ValueError, match="list it under conditions"):
        ParameterSpace([Parameter("a", 0, 1), seed])
    with pytest.raises(ValueError, match="one seed at most"):
        ParameterSpace([Parameter("a", 0, 1)], conditions=[seed, Parameter("other", kind="seed")])
    with pytest.raises(ValueError, match="no range of its own"):
        Parameter("seed", 0, 10, kind="seed")
    # Single precision keeps every one of them apart, also in the cube.
    space = ParameterSpace([Parameter("a", 0, 1)], conditions=[seed])
    theta = torch.stack([torch.zeros(65536), torch.arange(65536.0)], 1)
    assert torch.equal(space.from_unit(space.to_unit(theta))[:, 1].round(), theta[:, 1])
