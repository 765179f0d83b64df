"""Signals of any length, supports of any size: the fast paths agree with the plain one."""

import math
import random

import pytest
import torch
from torch.func import jvp, vmap

from pnp import Features, TimeFrequencyScattering
from pnp.features.scattering import log_frequency
from pnp.features.scattering.plan import ScatteringPlan
from pnp.synths import make


def any_settings(seed: int) -> dict:
    """Settings drawn over their whole range, small enough to be fast."""
    draw = random.Random(seed)
    n = draw.choice([draw.randint(64, 800), draw.randint(64, 800), 2 ** draw.randint(6, 9)])
    J = draw.randint(3, min(6, int(math.log2(n))))
    q = (draw.choice([1, 2, 4, 8]), draw.choice([1, 2]))
    supports = [None, "global", 0]
    # A number in three of six, and the shortest ones as often as the longest: 1 is the finest grid of frames there is.
    T = draw.choice([*supports, *(math.exp(draw.uniform(0, math.log(n))) for _ in range(3))])
    F = draw.choice([*supports, *(math.exp(draw.uniform(0, math.log((J + 1) * q[0]))) for _ in range(3))])
    settings = {
        "shape": n,
        "J": J,
        "Q": q,
        "J_fr": draw.randint(1, 3),
        "Q_fr": draw.choice([1, 2]),
        "T": T,
        "F": F,
        "format": draw.choice(["time", "joint"]),
        "normalization": draw.choice(["mean", "kymatio"]),
        "pad_mode": draw.choice(["reflect", "zero"]),
    }
    if (settings["normalization"], settings["pad_mode"]) == ("mean", "zero"):
        settings["padding"] = draw.choice(["power of two", "short"])
        settings["precision"] = draw.choice(["exact", "fast"]) if T != 0 else "exact"
    if (settings["normalization"], settings.get("precision", "exact"), T) == ("mean", "exact", "global"):
        settings["sampling"] = draw.choice(["critical", "fine"])
    return settings


def assert_paths_agree(settings: dict) -> None:
    """Compare values, tangents and gradients with those of the plain path."""
    n = settings["shape"]
    try:
        jtfs = TimeFrequencyScattering(**settings)
    except ValueError as error:
        if "bins along log-frequency" in str(error) or "no second-order wavelet" in str(error):
            pytest.skip(str(error))
        raise
    x, dx = torch.randn(2, n, dtype=torch.float64), torch.randn(2, 2, n, dtype=torch.float64)
    expected = vmap(lambda x: jtfs(x))(x)
    # The derivative of a modulus at silence is noise, whose size is that of rounding over the modulus.
    close = {"rtol": 1e-6, "atol": 1e-9 * float(expected.abs().max())}
    torch.testing.assert_close(jtfs(x), expected, **close)

    S, dS = jtfs.value_and_tangents(x, dx)
    torch.testing.assert_close(S, expected, **close)
    tangents = [jvp(jtfs, (x,), (dx[:, p],))[1] for p in range(2)]
    for p, tangent in enumerate(tangents):
        torch.testing.assert_close(dS[:, p], tangent, **close)

    y = x.clone().requires_grad_()
    v = torch.randn_like(expected)
    S = jtfs(y)
    torch.testing.assert_close(S, expected, **close)
    (g,) = torch.autograd.grad((v * S).sum(), y)
    for p, tangent in enumerate(tangents):
        torch.testing.assert_close((g * dx[:, p]).sum(), (v * tangent).sum(), rtol=1e-8, atol=1e-8)


# The others: one frame is left of two.
@pytest.mark.parametrize("seed", [*range(16), 22, 25, 57, 72])
def test_any_length_and_support(seed):
    assert_paths_agree(any_settings(seed))


@pytest.mark.slow
@pytest.mark.parametrize("seed", range(16, 150))
def test_many_lengths_and_supports(seed):
    assert_paths_agree(any_settings(seed))


@pytest.mark.slow
@pytest.mark.parametrize(("n", "J"), [(22050, 6), (44100, 8), (16000, 6), (48000, 10), (160000, 8)])
def test_lengths_of_recordings(n, J):
    assert_paths_agree({"shape": n, "J": J, "Q": 8, "J_fr": 3})


@pytest.mark.parametrize("shape", [400, 500, 700])
@pytest.mark.parametrize("T", ["global", 0, 60])
def test_short_padding(shape, T):
    settings = {
        "shape": shape,
        "J": 5,
        "Q": (4, 1),
        "J_fr": 2,
        "T": T,
        "pad_mode": "zero",
        "padding": "short",
    }
    plan = TimeFrequencyScattering(**settings).plan
    assert plan.n_padded < plan.n_averaged
    assert_paths_agree(settings)


@pytest.mark.parametrize("name", ["chirp", "drum"])
def test_short_padding_changes_little(name):
    synth = make(name, n_samples=8192)
    x = synth(synth.space.from_unit(synth.space.sample(4, seed=0)))
    settings = {"J": 9, "Q": (8, 1), "J_fr": 3, "T": "global", "F": 2, "pad_mode": "zero"}
    S, short = (
        Features(TimeFrequencyScattering(8192, **settings, padding=padding))(x)
        for padding in ("power of two", "short")
    )
    assert ((short - S).norm(dim=1) < 4e-3 * S.norm(dim=1)).all()
    assert not torch.equal(short, S)


def test_the_configuration_of_an_earlier_version_keeps_its_padding():
    settings = {"shape": 700, "J": 5, "Q": [4, 1], "J_fr": 2, "pad_mode": "zero"}
    assert "padding" not in TimeFrequencyScattering(**settings).config()
    short = TimeFrequencyScattering(**settings, padding="short")
    assert TimeFrequencyScattering(**short.config()).plan.n_padded == short.plan.n_padded == 1152


@pytest.mark.parametrize("change", [{"pad_mode": "reflect"}, {"normalization": "kymatio"}])
def test_short_padding_is_for_means_and_zeros(change):
    settings = {"shape": 700, "J": 5, "Q": 4, "J_fr": 2, "pad_mode": "zero", "padding": "short"}
    with pytest.raises(ValueError, match="padding='short' needs normalization='mean' and pad_mode='zero'"):
        TimeFrequencyScattering(**(settings | change))


@pytest.mark.parametrize("shape", [400, 700])
@pytest.mark.parametrize("T", ["global", 60])
@pytest.mark.parametrize("padding", [None, "power of two"])
def test_fast_paths_agree(shape, T, padding):
    settings = {"shape": shape, "J": 5, "Q": (4, 1), "J_fr": 2, "T": T}
    settings |= {"precision": "fast", "padding": padding}
    assert_paths_agree(settings)


def test_fast_has_half_of_the_samples_of_the_exact_one_and_short_padding():
    settings = {"shape": 8192, "J": 9, "Q": 8, "J_fr": 3, "T": "global", "F": 2}
    exact = TimeFrequencyScattering(**settings, sampling="critical").plan
    fast = TimeFrequencyScattering(**settings, precision="fast").plan
    assert [path.log2_stride for path in fast.second_order()] == [
        path.log2_stride + 1 for path in exact.second_order()
    ]
    assert fast.n_padded < exact.n_padded
    assert "precision" not in TimeFrequencyScattering(**settings).config()
    assert TimeFrequencyScattering(**settings, precision="fast").config()["precision"] == "fast"


@pytest.mark.parametrize("change", [{"pad_mode": "reflect"}, {"normalization": "kymatio"}, {"T": 0}])
def test_fast_is_for_means_zeros_and_averages(change):
    settings = {"shape": 700, "J": 5, "Q": 4, "J_fr": 2, "precision": "fast"}
    with pytest.raises(
        ValueError, match="precision='fast' needs normalization='mean', pad_mode='zero' and an average"
    ):
        TimeFrequencyScattering(**(settings | change))


@pytest.mark.parametrize("pad_mode", ["zero", "reflect"])
@pytest.mark.parametrize("padding", ["power of two", "short"])
@pytest.mark.parametrize("shape", [400, 700])
def test_fine_paths_agree(shape, padding, pad_mode):
    if (padding, pad_mode) == ("short", "reflect"):
        pytest.skip("short padding needs zeros")
    settings = {"shape": shape, "J": 8, "Q": (4, 1), "J_fr": 2, "T": "global", "sampling": "fine"}
    assert_paths_agree(settings | {"pad_mode": pad_mode, "padding": padding})


def test_fine_envelopes_have_more_samples_and_the_same_means():
    settings = {"shape": 8192, "J": 10, "Q": 8, "J_fr": 3, "T": "global", "F": 2}
    fine, critical = (TimeFrequencyScattering(**settings, sampling=name) for name in ("fine", "critical"))
    strides = [[path.log2_stride for path in jtfs.plan.second_order()] for jtfs in (fine, critical)]
    assert [slow - quick for quick, slow in zip(*strides, strict=True)] == [0, 0, 1, 2, 2, 1, 1, 1]
    synth = make("chirp", n_samples=8192)
    x = synth(synth.space.from_unit(synth.space.sample(4, seed=0).double()))
    assert ((fine(x) - critical(x)).norm(dim=1) < 1e-3 * critical(x).norm(dim=1)).all()
    assert not torch.equal(fine(x), critical(x))


@pytest.mark.parametrize(
    ("settings", "sampling"),
    [
        ({"T": "global"}, "fine"),
        ({"T": "global", "pad_mode": "reflect"}, "critical"),
        ({"T": "global", "normalization": "kymatio", "pad_mode": "zero"}, "critical"),
        ({"T": "global", "precision": "fast"}, "critical"),
        ({}, "critical"),
    ],
    ids=str,
)
def test_fine_is_the_default_where_nothing_else_depends_on_a_delay(settings, sampling):
    settings = {"shape": 700, "J": 5, "Q": 4, "J_fr": 2, **settings}
    jtfs = TimeFrequencyScattering(**settings)
    assert jtfs.config().get("sampling", "critical") == sampling
    assert TimeFrequencyScattering.from_config(jtfs.config()).config() == jtfs.config()


def test_the_configuration_of_an_earlier_version_keeps_its_rates():
    settings = {"shape": 700, "J": 8, "Q": 4, "J_fr": 2, "T": "global"}
    earlier = TimeFrequencyScattering(**settings, sampling="critical")
    assert "sampling" not in earlier.config()
    again = TimeFrequencyScattering.from_config(earlier.config())
    assert again.config() == earlier.config()
    x = torch.randn(700)
    assert torch.equal(again(x), earlier(x))
    assert not torch.equal(again(x), TimeFrequencyScattering(**settings)(x))


@pytest.mark.parametrize("change", [{"normalization": "kymatio"}, {"T": 60}, {"precision": "fast"}])
def test_fine_is_for_exact_means_over_the_whole_sound(change):
    settings = {"shape": 700, "J": 5, "Q": 4, "J_fr": 2, "T": "global", "sampling": "fine"}
    with pytest.raises(
        ValueError, match="sampling='fine' needs T='global', normalization='mean' and precision='exact'"
    ):
        TimeFrequencyScattering(**(settings | change))


@pytest.mark.parametrize("shape", [4096, 5000])
@pytest.mark.parametrize("sampling", ["critical", "fine"])
def test_what_is_left_out_is_silent(shape, sampling, monkeypatch):
    settings = {"shape": shape, "J": 8, "Q": (8, 1), "J_fr": 3, "T": "global", "F": 2, "sampling": sampling}
    x, dx = torch.randn(1, shape, dtype=torch.float64), torch.randn(1, 2, shape, dtype=torch.float64)
    brief = TimeFrequencyScattering(**settings)
    assert any(path.stop - path.start < 0.7 * len(path.psi) for path in brief.plan.second_order())
    monkeypatch.setattr(ScatteringPlan, "_sounding", lambda self, n2, n1, k: (0, self.n_padded >> k))
    whole = TimeFrequencyScattering(**settings)
    for ours, theirs in zip(brief.value_and_tangents(x, dx), whole.value_and_tangents(x, dx), strict=True):
        torch.testing.assert_close(ours, theirs, rtol=1e-9, atol=1e-12 * float(theirs.abs().max()))


def test_every_frame_of_the_signal_is_there():
    for n in (100, 129, 257, 1000, 1023, 1025):
        jtfs = TimeFrequencyScattering(shape=n, J=4, Q=(2, 1), J_fr=2, T=4)
        # Frames are 4 samples apart, on a grid that begins in the padding.
        assert jtfs(torch.randn(n)).shape[-1] in (n // 4, n // 4 + 1)


def test_a_constant_signal_has_a_constant_average():
    jtfs = TimeFrequencyScattering(shape=1001, J=5, Q=(2, 1), J_fr=2, T=8, pad_mode="reflect")
    S = jtfs(torch.full((1001,), 0.25, dtype=torch.float64))
    torch.testing.assert_close(S[0], torch.full_like(S[0], 0.25), rtol=1e-9, atol=0)


@pytest.mark.parametrize("derivative", [False, True])
@pytest.mark.parametrize("T", ["global", 20])
def test_an_empty_batch_has_no_rows(T, derivative):
    jtfs = TimeFrequencyScattering(shape=400, J=5, Q=(2, 1), J_fr=2, T=T)
    shape = jtfs(torch.zeros(1, 400)).shape[1:]
    x = torch.zeros(0, 400, requires_grad=derivative)
    assert jtfs(x).shape == (0, *shape)
    assert jtfs(torch.zeros(3, 0, 400)).shape == (3, 0, *shape)
    S, dS = jtfs.value_and_tangents(x.detach(), torch.zeros(0, 5, 400))
    assert (S.shape, dS.shape) == ((0, *shape), (0, 5, *shape))
    if derivative:
        jtfs(x).sum().backward()
        assert x.grad.shape == x.shape


@pytest.mark.parametrize("format", ["time", "joint"])
@pytest.mark.parametrize("F", [5, 9, 16, 40])
def test_averages_along_log_frequency_do_not_wrap_around(F, format, monkeypatch):
    settings = {"shape": 2048, "J": 7, "Q": (6, 1), "J_fr": 2, "T": "global", "F": F, "format": format}
    x = torch.randn(2, 2048, dtype=torch.float64)
    # White noise, and a tone at the end of the axis, whose neighbour across the wrap is the other end.
    x[1] = torch.sin(2 * math.pi * 0.4 * torch.arange(2048.0))
    S = TimeFrequencyScattering(**settings)(x)
    padded = log_frequency.padded_length_fr
    monkeypatch.setattr(log_frequency, "padded_length_fr", lambda *args: 4 * padded(*args))
    wide = TimeFrequencyScattering(**settings)(x)
    assert ((wide - S).norm(dim=-1) < 1e-4 * S.norm(dim=-1)).all()


def test_kymatio_pads_for_its_widest_wavelet_alone():
    """Its averages over more than that wrap around, which is part of its values."""
    settings = {"shape": 2048, "J": 7, "Q": (6, 1), "J_fr": 2, "T": "global", "F": 40}
    plans = [TimeFrequencyScattering(**settings, normalization=n).plan for n in ("kymatio", "mean")]
    assert [plan.log_frequency.n_padded for plan in plans] == [80, 368]
