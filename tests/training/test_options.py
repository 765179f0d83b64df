"""Options of a run outside their range are named."""

import numpy as np
import pytest
from task import SMALL, MemoryCache, Tones, deterministic, train_small

from pnp.losses import ParameterLoss
from pnp.training.options import TrainOptions
from pnp.training.train import train


@pytest.fixture(scope="module")
def cache():
    return MemoryCache()


def test_bad_settings_are_named(cache, tmp_path):
    for options, message in [
        ({"decay": "linear"}, "must be one of cosine, plateau; got 'linear'"),
        ({"epochs": 0}, "epochs must be a whole number of at least 1, got 0"),
        ({"time_budget": -1.0}, r"time_budget must be a finite number above 0, got -1\.0"),
        ({"seed": 10**20}, "seed must be a whole number from .*, got 100000000000000000000"),
        ({"device": "abacus"}, "must be one that PyTorch can use here, cpu.*; got 'abacus'"),
        ({"device": "cuda:99"}, "must be one that PyTorch can use here, cpu.*; got 'cuda:99'"),
        ({"patience": 0}, "patience must be a whole number of at least 1"),
        ({"n_sounds": 0}, "n_sounds must be a whole number of at least 1, got 0"),
        ({"batch_size": 0}, "batch_size must be a whole number of at least 1, got 0"),
        ({"learning_rate": 0.0}, "learning_rate must be a finite number above 0"),
        ({"loss": "mse"}, "pnp, p, surrogate, spectral, multiscale, or a module; got 'mse'"),
        ({"loss": "spectral"}, "features=None"),
        ({"loss": "p", "damping_schedule": {}}, "needs PNP loss; got ParameterLoss"),
        ({"loss": ParameterLoss(), "loss_options": {"scale": 2.0}}, "module has its options already"),
    ]:
        with pytest.raises(ValueError, match=message):
            train_small(cache, **options)
    with pytest.raises(ValueError, match=r"validation fold of cache/tones\.h5 has no sound"):
        train_small(MemoryCache(failed=tuple(MemoryCache().rows("validation").tolist())))
    other = Tones()
    other.space = other.space[::-1]
    with pytest.raises(ValueError, match=r"different parameter spaces: Tones has decay.*tones\.h5 has f in"):
        train(cache, other)


def test_options_come_as_a_dataclass_by_keyword_or_both(cache):
    options = TrainOptions(encoder_options=SMALL, batch_size=8, epochs=2, seed=3)
    results = [
        train(cache, cache.synth, options, progress=False),
        train(
            cache,
            cache.synth,
            TrainOptions(seed=9, epochs=2),
            seed=3,
            batch_size=8,
            encoder_options=SMALL,
            progress=False,
        ),
        train_small(cache, epochs=2, seed=3),
    ]
    histories = [deterministic(result.history) for result in results]
    assert histories[0] == histories[1] == histories[2]
    with pytest.raises(TypeError, match=r"train has no option 'epoch'; did you mean 'epochs'\?"):
        train(cache, cache.synth, options, epoch=3)


@pytest.mark.usefixtures("without_shape_checks")
def test_whole_numbers_of_numpy_are_taken_and_resumed(cache, tmp_path):
    options = {"seed": np.int64(3), "epochs": np.int64(1), "batch_size": np.int32(8), "out": tmp_path}
    first = train_small(cache, **options)
    again = train_small(cache, **options, resume=True)
    assert again.history == first.history
    assert deterministic(first.history) == deterministic(train_small(cache, seed=3, epochs=1).history)
