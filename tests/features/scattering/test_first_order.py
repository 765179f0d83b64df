"""First order without frequential wavelets."""

import numpy as np
import pytest
import torch

from pnp import TimeFrequencyScattering

SETTINGS = {"shape": 1024, "J": 6, "Q": (4, 1), "J_fr": 2, "pad_mode": "zero"}
SUPPORTS = [{"T": "global", "F": "global"}, {"T": 64, "F": 2}, {"T": 0, "F": 0}]


def transforms(**options):
    both = (TimeFrequencyScattering(**SETTINGS, **options, first_order=kind) for kind in ("average", "joint"))
    return [(transform, transform.meta()["order"]) for transform in both]


@pytest.mark.parametrize("options", SUPPORTS, ids=str)
def test_the_other_orders_stay_as_they_are(options):
    (average, orders), (joint, joint_orders) = transforms(**options)
    x = torch.randn(2, 1024, dtype=torch.float64, generator=torch.Generator().manual_seed(0))
    for order in (0, 2):
        assert torch.equal(average(x)[:, orders == order], joint(x)[:, joint_orders == order])


def test_the_first_order_is_the_averaged_scalogram():
    transform = TimeFrequencyScattering(**SETTINGS, T="global", F="global", first_order="average")
    meta = transform.meta()
    first = meta["order"] == 1
    x = torch.randn(1024, dtype=torch.float64, generator=torch.Generator().manual_seed(0))
    padded = torch.nn.functional.pad(x, (transform.plan.pad_left, transform.plan.pad_right))
    spectrum = torch.fft.fft(padded)
    frequencies = torch.fft.fftfreq(len(padded), dtype=torch.float64)
    # A Morlet wavelet is a Gaussian around xi, less one around 0 that makes its mean vanish.
    for xi, sigma, value in zip(
        meta["xi"][first, 0], meta["sigma"][first, 0], transform(x)[first], strict=True
    ):

        def bump(f, s=sigma):
            return sum(torch.exp(-0.5 * ((f + period) / s) ** 2) for period in (-1, 0, 1))

        centre, zero = bump(frequencies - xi), bump(frequencies)
        psi = centre - zero * (centre[0] / zero[0])
        assert value.item() == pytest.approx(torch.fft.ifft(spectrum * psi).abs().mean().item(), rel=2e-2)


@pytest.mark.parametrize("options", SUPPORTS, ids=str)
def test_a_row_for_each_first_order_wavelet(options):
    (transform, orders), _ = transforms(**options)
    meta, first = transform.meta(), orders == 1
    assert transform(torch.zeros(1024)).shape[0] == len(orders)
    np.testing.assert_array_equal(meta["n1"][first], np.arange(first.sum()))
    np.testing.assert_array_equal(meta["position"][first], np.arange(first.sum()))
    assert (meta["n_fr"][first] == -1).all()
    assert np.isnan(meta["xi_fr"][first]).all()


@pytest.mark.parametrize("options", SUPPORTS, ids=str)
def test_derivatives_agree(options):
    (transform, _), _ = transforms(**options)
    generator = torch.Generator().manual_seed(0)
    x = torch.randn(1, 1024, dtype=torch.float64, generator=generator, requires_grad=True)
    dx = torch.randn(1, 1, 1024, dtype=torch.float64, generator=generator)
    value, tangent = transform.value_and_tangents(x.detach(), dx)
    S, exact = torch.func.jvp(transform, (x.detach(),), (dx[:, 0],))
    weights = torch.randn(S.shape, dtype=torch.float64, generator=generator)
    (gradient,) = torch.autograd.grad((transform(x) * weights).sum(), x)
    torch.testing.assert_close(value[:, 0] if value.ndim > S.ndim else value, S)
    torch.testing.assert_close(tangent[:, 0], exact)
    torch.testing.assert_close((gradient * dx[:, 0]).sum(), (weights * exact).sum())


def test_settings_name_it_only_where_it_differs():
    (average, _), (joint, _) = transforms(T="global", F="global")
    assert "first_order" not in joint.config()
    assert average.config()["first_order"] == "average"
    x = torch.randn(1024, generator=torch.Generator().manual_seed(0))
    assert torch.equal(TimeFrequencyScattering(**average.config())(x), average(x))


def test_the_joint_format_has_no_averaged_first_order():
    with pytest.raises(ValueError, match='choose format="time"'):
        TimeFrequencyScattering(**SETTINGS, format="joint", first_order="average")
    with pytest.raises(ValueError, match="first_order must be one of 'joint', 'average', got 'none'"):
        TimeFrequencyScattering(**SETTINGS, first_order="none")
