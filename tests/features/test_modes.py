"""Feature maps and Jacobians do not depend on the mode of PyTorch that the caller is in."""

from concurrent.futures import ThreadPoolExecutor

import pytest
import torch
from torch import nn

from pnp import value_and_jacobian
from pnp.features import Features, MultiscaleSpectrogram, MultiscaleSTFT, TimeFrequencyScattering
from pnp.synths import make

N = 600


class Linear(nn.Module):
    """Feature map of a user: a product, which autocast would compute in half precision."""

    def __init__(self):
        super().__init__()
        self.weight = nn.Parameter(torch.randn(N, 5))

    def forward(self, x):
        return x @ self.weight


def multiscale():
    pytest.importorskip("auraloss")
    return MultiscaleSTFT((256, 128), (64, 32), (128, 64))


FEATURES = {
    "global": lambda: Features(TimeFrequencyScattering(N, 5, 2, 2, T="global", F="global")),
    "local": lambda: TimeFrequencyScattering(N, 5, 4, 2, T=24, F=2),
    "held": lambda: Features(TimeFrequencyScattering(N, 5, 2, 2, T=0, F=0, normalization="kymatio")),
    "spectrogram": lambda: Features(MultiscaleSpectrogram((128, 64))),
    "stft": multiscale,
}
AUTOCAST = [torch.bfloat16, torch.float16]


@pytest.fixture(params=FEATURES)
def features(request):
    return FEATURES[request.param]()


def gradient(features, x):
    y = x.clone().requires_grad_()
    return torch.autograd.grad(features(y).square().sum(), y)[0]


def everything(features, x, dx):
    """Values, tangents and gradients, in every way that there is."""
    results = [features(x), gradient(features, x)]
    if hasattr(features, "value_and_tangents"):
        results += features.value_and_tangents(x, dx)
    results += torch.func.jvp(features, (x,), (dx[:, 0],))
    results.append(torch.func.vmap(torch.func.grad(lambda x: features(x[None]).square().sum()))(x))
    return results


@pytest.mark.parametrize("dtype", AUTOCAST, ids=str)
def test_autocast_changes_nothing(features, dtype):
    x, dx = torch.randn(2, N), torch.randn(2, 3, N)
    expected = everything(features, x, dx)
    with torch.autocast("cpu", dtype):
        results = everything(features, x, dx)
    assert all(torch.equal(a, b) for a, b in zip(results, expected, strict=True))


@pytest.mark.parametrize("dtype", AUTOCAST, ids=str)
def test_autocast_changes_nothing_in_a_representation_that_a_user_brings(dtype):
    features = Features(Linear(), compression="none")
    x, dx = torch.randn(2, N), torch.randn(2, 3, N)
    expected = [features(x), *features.value_and_tangents(x, dx)]
    with torch.autocast("cpu", dtype):
        results = [features(x), *features.value_and_tangents(x, dx)]
    assert all(torch.equal(a, b) for a, b in zip(results, expected, strict=True))


@pytest.mark.parametrize("threads", [1, 2])
def test_autocast_changes_no_gradient_whatever_the_number_of_threads(threads):
    features, x = FEATURES["local"](), torch.randn(2, N)
    expected = gradient(features, x)
    torch.set_num_threads(threads)
    try:
        with torch.autocast("cpu", torch.bfloat16):
            assert torch.equal(gradient(features, x), expected)
    finally:
        torch.set_num_threads(1)


@pytest.mark.parametrize("dtype", AUTOCAST, ids=str)
def test_autocast_changes_no_jacobian(dtype):
    synth = make("chirp", n_samples=1024)
    features = Features(TimeFrequencyScattering(1024, 6, 4, 2, T="global"))
    u = torch.zeros(1, len(synth.space))
    expected = value_and_jacobian(synth, features, u)
    with torch.autocast("cpu", dtype):
        results = value_and_jacobian(synth, features, u)
    assert all(torch.equal(a, b) for a, b in zip(results, expected, strict=True))


@pytest.mark.parametrize("name", FEATURES)
def test_training_goes_on_after_a_first_call_in_inference_mode(name):
    features = FEATURES[name]()
    x, dx = torch.randn(2, N), torch.randn(2, 3, N)

    def validate_and_train():
        with torch.inference_mode():
            features(x)
            if hasattr(features, "value_and_tangents"):
                features.value_and_tangents(x, dx)
        return gradient(features, x)

    # A new thread has no workspace yet.
    with ThreadPoolExecutor(1) as pool:
        assert torch.equal(pool.submit(validate_and_train).result(), gradient(features, x))


@pytest.mark.parametrize("name", ["global", "spectrogram", "stft"])
def test_a_feature_map_made_in_inference_mode_trains(name):
    x = torch.randn(2, N)
    with torch.inference_mode():
        features = FEATURES[name]()
    assert torch.equal(gradient(features, x), gradient(FEATURES[name](), x))


def test_two_threads_at_once(features):
    x, dx = torch.randn(4, 2, N), torch.randn(4, 2, 3, N)

    def run(x, dx):
        tangents = features.value_and_tangents(x, dx) if hasattr(features, "value_and_tangents") else ()
        return [*tangents, gradient(features, x)]

    expected = list(map(run, x, dx))
    with ThreadPoolExecutor(2) as pool:
        results = list(pool.map(run, x, dx))
    for result, reference in zip(results, expected, strict=True):
        assert all(torch.equal(a, b) for a, b in zip(result, reference, strict=True))


@pytest.mark.usefixtures("without_shape_checks")
def test_spectrograms_compile_without_a_graph_break():
    features = Features(MultiscaleSpectrogram((128, 64)))
    x = torch.randn(2, N)
    compiled = torch.compile(features, backend="eager", fullgraph=True)
    torch.testing.assert_close(compiled(x), features(x))
