"""Engines that cannot be copied: each worker makes its own, once."""

import os
import threading

import numpy as np
import pytest
from task import Energies

from pnp import MetricCache, Parameter, ParameterSpace, precompute
from pnp.errors import PnpError
from pnp.synths import BlackBox, PerProcess

N, RATE = 256, 1000.0
SPACE = ParameterSpace([Parameter("f0", 20.0, 80.0, "log", "Hz"), Parameter("decay", 0.05, 0.2, "log", "s")])


class Engine:
    """Holds what no pickle takes, and counts the engines of this process."""

    made = 0

    def __init__(self):
        self.lock, self.owner = threading.Lock(), os.getpid()
        type(self).made += 1

    def __call__(self, f0, decay):
        assert os.getpid() == self.owner
        with self.lock:
            t = np.arange(N) / RATE
            return np.exp(-t / decay) * np.sin(2 * np.pi * f0 * t)


def compute(path, program, jobs):
    box = BlackBox(program, SPACE, RATE, N)
    return precompute(box, Energies(), path, size=8, block=2, jobs=jobs, progress=False)


def test_an_engine_is_made_once(tmp_path):
    before = Engine.made
    assert compute(tmp_path / "a.h5", PerProcess(Engine), jobs=1).n_failed == 0
    assert Engine.made == before + 1


@pytest.mark.slow
def test_an_engine_is_made_in_each_worker_anew(tmp_path):
    assert compute(tmp_path / "a.h5", PerProcess(Engine), jobs=1).n_failed == 0
    assert compute(tmp_path / "b.h5", PerProcess(Engine), jobs=2).n_failed == 0
    with MetricCache(tmp_path / "a.h5") as one, MetricCache(tmp_path / "b.h5") as other:
        assert (one.metrics().matrix == other.metrics().matrix).all()
        assert one.fingerprint == other.fingerprint


def test_an_engine_that_cannot_be_copied_is_refused_with_the_remedy(tmp_path):
    with pytest.raises(PnpError, match=r"pnp\.synths\.PerProcess\(make\), or use jobs=1"):
        compute(tmp_path / "a.h5", Engine(), jobs=2)
