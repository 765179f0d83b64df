"""The standard representation: the same for all, free of delays, and deaf to no parameter."""

import pytest
import torch

import pnp
from pnp.features.standard import PRESETS, scattering_settings, standard_features

# Short, at a low rate, so that a Jacobian in float64 takes a second.
SHORT = {
    "chirp": {"n_samples": 8192, "sample_rate": 4096.0},
    "ripple": {"n_samples": 8192},
    "drum": {"n_samples": 8192, "sample_rate": 11025.0},
    "string": {"n_samples": 8192, "sample_rate": 11025.0},
}


def metric_of(synth: torch.nn.Module, u: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
    S, J = pnp.value_and_jacobian(synth, standard_features(synth), u)
    return S, J.mT @ J


@pytest.mark.parametrize("name", SHORT)
def test_every_parameter_of_every_built_in_synthesizer_is_heard_at_mid_range(name: str) -> None:
    synth = pnp.synths.make(name, **SHORT[name])
    S, M = metric_of(synth, torch.full((1, len(synth.space)), 0.05, dtype=torch.float64))
    # A hundredth of the range moves the features by more than float32 rounds, by far.
    moved = 0.02 * M[0].diagonal().sqrt()
    assert (moved > 1e-4 * S.norm()).all(), dict(zip(synth.space.names, moved.tolist(), strict=True))


def assert_same(delayed: tuple[torch.Tensor, torch.Tensor], own: tuple[torch.Tensor, torch.Tensor]) -> None:
    (S_delayed, M_delayed), (S, M) = delayed, own
    assert ((S_delayed - S).norm(dim=1) <= 1e-4 * S.norm(dim=1)).all()
    assert ((M_delayed - M).norm(dim=(1, 2)) <= 1e-3 * M.norm(dim=(1, 2))).all()


# Of twelve chirps drawn at random, the two whose metric depended most on a delay at critical sampling, by 0.6 %.
DEPENDENT = torch.tensor([[-0.29, 0.244, -0.036], [0.354, -0.78, 0.048]], dtype=torch.float64)


@pytest.fixture(scope="module")
def undelayed() -> tuple[torch.Tensor, torch.Tensor]:
    return metric_of(pnp.synths.make("chirp"), DEPENDENT)


# A ripple has neither beginning nor end: a delay cuts another excerpt out of it. Drums and strings begin at once.
@pytest.mark.parametrize("shift", [1, 64, 999])
def test_neither_features_nor_metric_change_when_a_chirp_is_delayed(
    shift: int, undelayed: tuple[torch.Tensor, torch.Tensor]
) -> None:
    assert_same(metric_of(pnp.synths.make("chirp", shift=shift), DEPENDENT), undelayed)


@pytest.mark.slow
@pytest.mark.parametrize("seed", range(5))
def test_delays_of_any_chirp_change_nothing(seed: int) -> None:
    generator = torch.Generator().manual_seed(seed)
    u = 2 * torch.rand(8, 3, dtype=torch.float64, generator=generator) - 1
    own = metric_of(pnp.synths.make("chirp"), u)
    for shift in torch.randint(1, 3002, (3,), generator=generator).tolist():
        assert_same(metric_of(pnp.synths.make("chirp", shift=shift), u), own)


def test_published_settings_are_what_was_published() -> None:
    assert scattering_settings(32768, 8192, "mesostructures") == {
        "J": 12,
        "Q": (8, 2),
        "J_fr": 5,
        "Q_fr": 2,
        "T": "global",
        "F": "global",
        "pad_mode": "reflect",
    }
    assert scattering_settings(65536, 22050, "pnp") == {
        "J": 13,
        "Q": (12, 1),
        "J_fr": 5,
        "Q_fr": 1,
        "T": "global",
        "F": 2,
        "pad_mode": "zero",
        "sampling": "critical",
    }
    synth = pnp.synths.make("chirp", n_samples=4096)
    assert standard_features(synth, "mesostructures").scale == 1e3


def test_the_preset_of_listeners_is_what_agreed_best_with_them() -> None:
    heard = {"J": 12, "Q": (8, 1), "J_fr": 5, "Q_fr": 1, "T": 8192, "F": 8, "first_order": "average"}
    assert scattering_settings(65536, 44100, "listeners") == heard | {"pad_mode": "zero"}
    # The same times at another rate, and no more than there is of a short sound.
    assert scattering_settings(65536, 22050, "listeners") == heard | {"J": 11, "T": 4096, "pad_mode": "zero"}
    assert scattering_settings(1000, 44100, "listeners")["T"] == 512
    features = standard_features(pnp.synths.make("drum", n_samples=4096), "listeners")
    assert features.scale == 1e5
    assert features.representation.config()["T"] == 4096


@pytest.mark.parametrize("preset", PRESETS)
@pytest.mark.parametrize("n_samples", [256, 1000, 4096, 22050, 44100])
@pytest.mark.parametrize("sample_rate", [8000.0, 44100.0])
def test_settings_serve_sounds_of_any_length_and_rate(
    preset: str, n_samples: int, sample_rate: float
) -> None:
    settings = scattering_settings(n_samples, sample_rate, preset)
    assert 2 ** settings["J"] <= n_samples / 8
    if n_samples <= 4096:
        features = pnp.Features(pnp.TimeFrequencyScattering(shape=n_samples, **settings))
        assert torch.isfinite(features(torch.randn(2, n_samples))).all()


def test_the_transform_pads_by_zeros_unless_it_reproduces_kymatio() -> None:
    settings = {"shape": 256, "J": 4, "Q": 2, "J_fr": 2}
    assert pnp.TimeFrequencyScattering(**settings).config()["pad_mode"] == "zero"
    assert pnp.TimeFrequencyScattering(**settings, normalization="kymatio").config()["pad_mode"] == "reflect"
    assert pnp.TimeFrequencyScattering(**settings, pad_mode="reflect").config()["pad_mode"] == "reflect"


def test_an_unknown_preset_is_named() -> None:
    with pytest.raises(
        ValueError, match="'listeners', 'mesostructures', 'pnp', got 'mesostructure'; did you mean"
    ):
        standard_features(pnp.synths.make("chirp", n_samples=1024), "mesostructure")
