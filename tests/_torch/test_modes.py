"""Modes of PyTorch that a caller is in change neither what is kept nor how it is computed."""

import pytest
import torch

from pnp._torch.modes import at_least_single, full_precision, kept, ordinary


def _saved_for_backward(tensor):
    weight = torch.ones_like(tensor, requires_grad=True)
    (weight * tensor).sum().backward()
    return weight.grad


def test_what_is_made_or_kept_in_inference_mode_serves_a_training_step():
    with torch.inference_mode():
        with ordinary():
            made = torch.arange(3.0)
        inferred = torch.arange(3.0)
        handed_in = kept(inferred)
    assert inferred.is_inference()
    for tensor in (made, handed_in):
        torch.testing.assert_close(_saved_for_backward(tensor), torch.arange(3.0))


def test_an_ordinary_tensor_is_kept_without_a_copy():
    tensor = torch.ones(3)
    assert kept(tensor) is tensor


@pytest.mark.parametrize("mode", [torch.enable_grad, torch.no_grad, torch.inference_mode])
def test_gradients_are_recorded_as_outside(mode):
    with mode():
        outside = torch.is_grad_enabled()
        with ordinary():
            assert torch.is_grad_enabled() == outside
            assert not torch.is_inference_mode_enabled()
        assert torch.is_inference_mode_enabled() == (mode is torch.inference_mode)


def test_as_a_decorator_it_holds_at_every_call():
    make = ordinary()(lambda: torch.ones(2))
    for _ in range(2):
        with torch.inference_mode():
            assert not make().is_inference()


@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float16])
def test_products_keep_the_precision_of_their_operands(dtype):
    a = torch.randn(8, 8)
    with torch.autocast("cpu", dtype=dtype):
        assert (a @ a).dtype == dtype
        with full_precision(a):
            assert torch.equal(a @ a, torch.matmul(a, a))
            assert (a @ a).dtype == torch.float32
        assert (a @ a).dtype == dtype
    with full_precision(torch.empty(2, device="meta")):
        pass


def test_half_precision_is_raised_and_no_other_changed():
    for given, expected in [
        (torch.bfloat16, torch.float32),
        (torch.float16, torch.float32),
        (torch.float32, torch.float32),
        (torch.float64, torch.float64),
    ]:
        assert at_least_single(torch.ones(2, dtype=given)).dtype == expected
