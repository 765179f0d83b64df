"""Derivatives of what users bring: exact where there are any, differences where there are none, and which is said."""

import logging
import math

import pytest
import torch
from torch import Tensor, nn

import pnp
from pnp.jacobian import Derivatives, resolve, value_and_jacobian
from pnp.jacobian.adapters import FeatureDifferences

N = 1024
ALONG_TANGENTS = "differences along the sound's tangents"


class Tone(nn.Module):
    """A decaying tone, in a way that may keep `torch.func` out."""

    def __init__(self, way: str = "plain") -> None:
        super().__init__()
        self.space = pnp.ParameterSpace(
            [
                pnp.Parameter("f0", 200.0, 800.0, "log", "Hz"),
                pnp.Parameter("decay", 0.05, 0.5, "log", "s"),
            ]
        )
        self.sample_rate, self.n_samples, self.way = 8000.0, N, way

    def forward(self, theta: Tensor) -> Tensor:
        if self.way == "numpy":
            theta = torch.from_numpy(theta.numpy())
        t = torch.arange(N, dtype=theta.dtype) / self.sample_rate
        x = 0.5 * torch.exp(-t / theta[..., 1:]) * torch.sin(2 * math.pi * theta[..., :1] * t)
        if self.way == "unvectorized":
            x = x + 0.0 * Forward.apply(x)
        return x


class LogMel(nn.Module):
    def forward(self, x: Tensor) -> Tensor:
        window = torch.hann_window(128, dtype=x.dtype)
        S = torch.stft(x, 128, 64, window=window, return_complex=True).abs()
        bands = (
            torch.linspace(0, 1, 65, dtype=x.dtype)[None] - torch.linspace(0, 1, 12, dtype=x.dtype)[:, None]
        )
        return torch.log1p(100.0 * (torch.exp(-(bands.square()) * 300) @ S)).flatten(1)


class Stft(nn.Module):
    def forward(self, x: Tensor) -> Tensor:
        return torch.stft(x, 64, 32, window=torch.hann_window(64, dtype=x.dtype), return_complex=True).abs()


class Recurrent(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.cells = nn.LSTM(64, 12, batch_first=True)

    def forward(self, x: Tensor) -> Tensor:
        return self.cells(x.unflatten(-1, (-1, 64)))[0][:, -1]


class Transformer(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.layer = nn.TransformerEncoderLayer(64, 4, 64, batch_first=True)

    def forward(self, x: Tensor) -> Tensor:
        return self.layer(x.unflatten(-1, (-1, 64))).mean(1)


class Square(torch.autograd.Function):
    """Without `jvp`, and in the style before `setup_context`."""

    @staticmethod
    def forward(ctx, x):
        ctx.save_for_backward(x)
        return x.square()

    @staticmethod
    def backward(ctx, gradient):
        return 2 * ctx.saved_tensors[0] * gradient


class Custom(nn.Module):
    def forward(self, x: Tensor) -> Tensor:
        return torch.log1p(Square.apply(x).unflatten(-1, (16, -1)).mean(-1))


class Numpy(nn.Module):
    def forward(self, x: Tensor) -> Tensor:
        return torch.from_numpy(Stft()(x.detach().clone()).numpy() ** 2)


class Forward(torch.autograd.Function):
    """With a derivative, but without a rule for vectorization."""

    @staticmethod
    def forward(x):
        return x.square()

    @staticmethod
    def setup_context(ctx, inputs, output):
        ctx.save_for_forward(inputs[0])

    @staticmethod
    def jvp(ctx, tangent):
        return 2 * ctx.saved_tensors[0] * tangent


class Unvectorized(nn.Module):
    def forward(self, x: Tensor) -> Tensor:
        return torch.log1p(Forward.apply(x).unflatten(-1, (16, -1)).mean(-1))


def _energies(x: Tensor) -> Tensor:
    return torch.log1p(x.square().unflatten(-1, (16, -1)).mean(-1))


def convolutional() -> nn.Module:
    return nn.Sequential(
        nn.Unflatten(-1, (1, N)), nn.Conv1d(1, 4, 64, 16), nn.ELU(), nn.AdaptiveAvgPool1d(6), nn.Flatten()
    )


FEATURES = {
    "log-mel": (LogMel, "exact"),
    "STFT": (Stft, "exact"),
    "convolutions": (convolutional, "exact"),
    "own function with jvp": (Unvectorized, "exact, one direction at a time"),
    # PyTorch decides by precision and version.
    "LSTM": (Recurrent, ""),
    "transformer": (Transformer, ALONG_TANGENTS),
    "own function": (Custom, ALONG_TANGENTS),
    "NumPy": (Numpy, ALONG_TANGENTS),
}


def points(n: int = 3) -> Tensor:
    return 0.8 * Tone().space.sample(n)


@pytest.mark.parametrize("name", FEATURES)
def test_features_have_their_derivatives_whatever_they_are(name: str) -> None:
    make, expected = FEATURES[name]
    features, u = make().double().eval(), points()
    found = resolve(Tone(), features, u[:1], Derivatives())
    assert found.of_synth == "exact"
    assert found.of_features.startswith(expected)
    # A short difference in the parameters is the judge: of second order, and in double precision.
    S, J = value_and_jacobian(Tone(), features, u)
    difference = value_and_jacobian(Tone(), features, u, step=1e-6)[1]
    torch.testing.assert_close(S, features(Tone()(Tone().space.from_unit(u))).flatten(1))
    assert (J - difference).norm() < 1e-5 * J.norm()


def test_differences_of_single_precision_features_are_taken_in_double() -> None:
    features, u = Recurrent().eval(), points().float()
    J = value_and_jacobian(Tone(), features, u)[1]
    expected = value_and_jacobian(Tone(), features.double(), u.double())[1]
    assert J.dtype == torch.float32
    assert (J - expected).norm() < 1e-4 * expected.norm()


def test_features_that_stay_in_single_precision_get_a_step_that_suits_it() -> None:
    class Single(nn.Module):
        def forward(self, x: Tensor) -> Tensor:
            return _energies(Square.apply(x.float()))

    class Double(nn.Module):
        def forward(self, x: Tensor) -> Tensor:
            return _energies(x.square())

    features, u = Single(), points().float()
    adapter = resolve(Tone(), features, u[:1], Derivatives()).features
    assert isinstance(adapter, FeatureDifferences)
    assert not adapter.in_double
    assert adapter.step > 1e-4
    J = value_and_jacobian(Tone(), features, u)[1]
    expected = value_and_jacobian(Tone(), Double(), u.double())[1]
    assert (J - expected).norm() < 0.01 * expected.norm()


def test_features_that_jump_along_a_tangent_are_contradicted() -> None:
    class Jumping(nn.Module):
        def forward(self, x: Tensor) -> Tensor:
            return torch.floor(1e3 * Square.apply(x).unflatten(-1, (16, -1)).mean(-1) * 1e3)

    with pytest.raises(pnp.SynthesisError, match=r"'Jumping' have no derivative here: .* contradict"):
        value_and_jacobian(Tone(), Jumping(), points())


@pytest.mark.parametrize(
    ("way", "expected"), [("unvectorized", "exact, one direction"), ("numpy", "differences")]
)
def test_synthesizers_have_their_derivatives_whatever_they_are(way: str, expected: str) -> None:
    u = points()
    found = resolve(Tone(way), LogMel(), u[:1], Derivatives())
    assert found.of_synth.startswith(expected)
    J = value_and_jacobian(Tone(way), LogMel(), u)[1]
    exact = value_and_jacobian(Tone(), LogMel(), u)[1]
    assert (J - exact).norm() < 1e-5 * exact.norm()


def test_exact_derivatives_are_refused_where_there_are_none() -> None:
    for synth, features in ((Tone("numpy"), LogMel()), (Tone(), Custom())):
        with pytest.raises(ValueError, match="cannot be differentiated in forward mode"):
            value_and_jacobian(synth, features, points(), derivatives="forward")
    box = pnp.synths.BlackBox(
        lambda f0, decay: Tone()(torch.tensor([f0, decay])).numpy(), Tone().space, 8000, N
    )
    with pytest.raises(ValueError, match="has no exact derivatives"):
        resolve(box, LogMel(), points(1), Derivatives("forward"))


def test_what_a_cache_says_about_its_derivatives(tmp_path, caplog) -> None:
    with caplog.at_level(logging.WARNING):
        pnp.precompute(Tone("numpy"), Recurrent(), tmp_path / "a.h5", size=4, block=2, progress=False)
    assert "'Tone' cannot be differentiated" in caplog.text
    with pnp.MetricCache(tmp_path / "a.h5") as cache:
        assert len(cache.rows()) == 4
        described = cache.header.derivatives
    assert described["synthesizer"] == "differences of its sounds at measured steps"
    assert described["features"].startswith(ALONG_TANGENTS)
    assert set(described["measured_steps"]) == {"f0", "decay"}
    assert max(described["measured_errors"].values()) < 1e-4
    assert described["summary"].startswith("of the synthesizer: differences")


@pytest.mark.slow
def test_the_encoder_of_encodec_is_a_feature_map() -> None:
    encodec = pytest.importorskip("encodec")
    model = encodec.EncodecModel._get_model(target_bandwidths=[6.0], sample_rate=24000, channels=1).eval()

    class Encoder(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.encoder = model.encoder

        def forward(self, x: Tensor) -> Tensor:
            return self.encoder(x.unsqueeze(1))

    features, u = Encoder().eval(), points(1).float()
    found = resolve(Tone(), features, u, Derivatives())
    assert found.of_features != "exact"
    J = value_and_jacobian(Tone(), features, u)[1]
    expected = value_and_jacobian(Tone(), features.double(), u.double(), step=1e-5)[1]
    assert (J - expected).norm() < 1e-3 * expected.norm()
