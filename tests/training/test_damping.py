"""LevenbergMarquardt: λ goes down on improvement, up on failure, and reverting restores."""

import copy
import io
import math

import pytest
import torch
from torch import nn

from pnp.losses import LARGEST_DAMPING, ParameterLoss, PNPLoss
from pnp.metric.riemannian import RiemannianMetric
from pnp.training.damping import LevenbergMarquardt, initial_damping


def _loss(eigenvalues=((1e4, 68.0, 2.9, 2e-2, 4e-17), (4.0, 3.0, 2.0, 1.0, 0.0)), **options):
    factor = torch.tensor(eigenvalues, dtype=torch.float64).sqrt().diag_embed()
    return PNPLoss(RiemannianMetric.from_factor(factor), **options)


def _training(seed=0):
    torch.manual_seed(seed)
    model = nn.Linear(5, 5)
    return model, torch.optim.Adam(model.parameters(), lr=0.1)


def _train(model, optimizer, steps=1):
    for _ in range(steps):
        optimizer.zero_grad()
        model(torch.ones(4, 5)).square().sum().backward()
        optimizer.step()


def _same(a, b):
    """True where two nested states are equal to the bit."""
    if isinstance(a, torch.Tensor):
        return torch.equal(a, b)
    if isinstance(a, dict):
        return a.keys() == b.keys() and all(_same(a[key], b[key]) for key in a)
    if isinstance(a, list | tuple):
        return len(a) == len(b) and all(map(_same, a, b))
    return a == b


def test_initial_damping_is_the_mean_largest_eigenvalue():
    assert initial_damping(_loss()) == pytest.approx((1e4 + 4.0) / 2)
    assert initial_damping(_loss(damping_kind="mean")) == 1.0
    loss = _loss()
    LevenbergMarquardt(loss, revert=False)
    assert loss.damping == pytest.approx((1e4 + 4.0) / 2)


def test_initial_damping_leaves_out_failed_sounds():
    factor = torch.stack([torch.eye(3), torch.full((3, 3), math.nan)])
    assert initial_damping(PNPLoss(RiemannianMetric.from_factor(factor))) == 1.0


def test_improvement_lowers_lambda_and_failure_raises_it():
    loss = _loss()
    schedule = LevenbergMarquardt(loss, initial=8.0, decrease=0.5, brake=4.0, patience=0, revert=False)
    assert [schedule.step(value) for value in (3.0, 2.0, 2.0, 1.0)] == [True, True, False, True]
    assert loss.damping == pytest.approx(8.0 * 0.5 * 0.5 * 4.0 * 0.5)


def test_patience_lets_failures_pass():
    loss = _loss()
    schedule = LevenbergMarquardt(loss, initial=8.0, decrease=0.5, brake=4.0, patience=2, revert=False)
    lambdas = []
    for value in (1.0, 2.0, 2.0, 2.0, 2.0):
        schedule.step(value)
        lambdas.append(loss.damping)
    assert lambdas == pytest.approx([4.0, 4.0, 4.0, 16.0, 16.0])


def test_an_improvement_below_the_threshold_is_none():
    schedule = LevenbergMarquardt(_loss(), initial=1.0, threshold=0.1, revert=False)
    assert [schedule.step(value) for value in (1.0, 0.95, 0.89)] == [True, False, True]


@pytest.mark.parametrize("value", [math.nan, math.inf])
def test_a_value_that_is_not_finite_brakes_at_once(value):
    loss = _loss()
    schedule = LevenbergMarquardt(loss, initial=1.0, decrease=0.5, brake=4.0, patience=10, revert=False)
    schedule.step(1.0)
    assert not schedule.step(value)
    assert loss.damping == pytest.approx(2.0)
    assert schedule.best == 1.0


def test_reverting_restores_model_and_optimizer_each_time():
    model, optimizer = _training()
    schedule = LevenbergMarquardt(_loss(), model=model, optimizer=optimizer, initial=1.0, patience=0)
    _train(model, optimizer, 3)
    schedule.step(1.0)
    best = copy.deepcopy((model.state_dict(), optimizer.state_dict()))
    for _ in range(2):
        # The second round finds out whether training after a revert wrote into the state that is kept.
        _train(model, optimizer, 3)
        assert not _same(best, (model.state_dict(), optimizer.state_dict()))
        schedule.step(2.0)
        assert _same(best, (model.state_dict(), optimizer.state_dict()))


@pytest.mark.parametrize(
    ("make", "expected"),
    [
        (lambda o: torch.optim.lr_scheduler.StepLR(o, 1, gamma=0.5), [0.1 * 0.5**n for n in range(1, 8)]),
        (
            lambda o: torch.optim.lr_scheduler.ReduceLROnPlateau(o, factor=0.5, patience=1),
            [0.1, 0.1, 0.05, 0.05, 0.025, 0.025, 0.0125],
        ),
        (
            lambda o: torch.optim.lr_scheduler.CosineAnnealingLR(o, 10),
            [0.05 * (1 + math.cos(math.pi * n / 10)) for n in range(1, 8)],
        ),
    ],
    ids=["steps", "plateaus", "cosine"],
)
def test_reverting_leaves_the_learning_rate_to_its_own_schedule(make, expected):
    model, optimizer = _training()
    rates = make(optimizer)
    schedule = LevenbergMarquardt(_loss(), model=model, optimizer=optimizer, initial=1.0, patience=0)
    seen = []
    for value in (1.0, *[2.0] * 6):
        _train(model, optimizer)
        if isinstance(rates, torch.optim.lr_scheduler.ReduceLROnPlateau):
            rates.step(value)
        else:
            rates.step()
        schedule.step(value)
        seen.append(optimizer.param_groups[0]["lr"])
    assert seen == pytest.approx(expected)
    # The moments are those of the best epoch all the same.
    assert {int(state["step"]) for state in optimizer.state.values()} == {1}


def test_reverting_a_model_that_contains_the_loss_still_brakes():
    model, optimizer = _training()
    model.criterion = _loss()
    schedule = LevenbergMarquardt(
        model.criterion, model=model, optimizer=optimizer, initial=1.0, decrease=0.5, brake=4.0, patience=0
    )
    for value in (3.0, 5.0, 5.0):
        schedule.step(value)
    assert model.criterion.damping == pytest.approx(1.0 * 0.5 * 4.0 * 4.0)


def test_failing_before_any_success_reverts_nothing():
    model, optimizer = _training()
    schedule = LevenbergMarquardt(_loss(), model=model, optimizer=optimizer, initial=1.0)
    _train(model, optimizer)
    state = copy.deepcopy(model.state_dict())
    schedule.step(math.nan)
    assert _same(state, model.state_dict())


@pytest.mark.parametrize("initial", [None, 1e-17, 1e4, 1e29])
def test_lambda_stays_finite_and_positive_whatever_happens(initial):
    loss = _loss()
    schedule = LevenbergMarquardt(loss, initial=initial, revert=False)
    start = loss.damping
    for value in range(1000, 0, -1):
        schedule.step(float(value))
    assert 0 < loss.damping < start
    u = torch.ones(2, 5)
    assert torch.isfinite(loss(u, 0 * u, torch.arange(2)))
    for _ in range(1000):
        schedule.step(1e9)
    assert start < loss.damping < math.inf
    assert torch.isfinite(loss(u, 0 * u, torch.arange(2)))


@pytest.mark.parametrize("initial", [1e-44, 1e-36, 1e30, 1e35, 1e38])
def test_lambda_at_the_ends_of_float32_neither_vanishes_nor_overflows(initial):
    loss = _loss()
    schedule = LevenbergMarquardt(loss, initial=initial, revert=False)
    for value in range(100, 0, -1):
        schedule.step(float(value))
    low = loss.damping
    assert low >= torch.finfo(torch.float32).tiny
    for _ in range(100):
        schedule.step(math.nan)
    assert low < loss.damping < math.inf
    u = torch.ones(2, 5)
    assert torch.isfinite(loss(u, 0 * u, torch.arange(2)))


def test_lambda_taken_from_huge_metrics_stays_finite():
    loss = _loss([[3e34, 1e30], [1e33, 1e30]])
    schedule = LevenbergMarquardt(loss, revert=False)
    assert loss.damping == LARGEST_DAMPING
    schedule.step(1.0)
    for _ in range(1000):
        schedule.step(math.nan)
    assert loss.damping == LARGEST_DAMPING


def test_a_state_from_before_lambda_was_held_in_range_does_not_overflow():
    loss = _loss()
    schedule = LevenbergMarquardt(loss, revert=False)
    schedule.load_state_dict(schedule.state_dict() | {"bounds": (1e-45, 1e42), "damping": 1e38})
    schedule.step(math.nan)
    assert loss.damping == LARGEST_DAMPING


def test_a_compiled_loss_can_be_scheduled(without_shape_checks):
    loss = _loss()
    LevenbergMarquardt(torch.compile(loss, backend="eager"), initial=2.0, revert=False).step(1.0)
    assert loss.damping == pytest.approx(0.4)


def test_resumes_where_it_stopped():
    values = [3.0, 2.0, 2.5, 2.6, 1.5]
    model, optimizer = _training()
    loss = _loss()
    schedule = LevenbergMarquardt(loss, model=model, optimizer=optimizer, patience=1)
    for value in values[:3]:
        _train(model, optimizer)
        schedule.step(value)
    file = io.BytesIO()
    torch.save((schedule.state_dict(), model.state_dict(), optimizer.state_dict()), file)
    file.seek(0)

    other_model, other_optimizer = _training(seed=1)
    other_loss = _loss()
    other = LevenbergMarquardt(
        other_loss, model=other_model, optimizer=other_optimizer, patience=1, initial=7.0
    )
    for part, state in zip(
        (other, other_model, other_optimizer), torch.load(file, weights_only=True), strict=True
    ):
        part.load_state_dict(state)
    for value in values[3:]:
        for one, its in ((schedule, (model, optimizer)), (other, (other_model, other_optimizer))):
            _train(*its)
            one.step(value)
        assert loss.damping == other_loss.damping
        assert _same(model.state_dict(), other_model.state_dict())


def test_bad_options_are_named():
    for options, message in [
        ({"decrease": 1.0}, "above 0 and below 1, got 1.0"),
        ({"brake": 1.0}, "brake must be a finite number above 1, got 1.0"),
        ({"patience": -1}, "patience must be a whole number of at least 0, got -1"),
        ({"threshold": 1.0}, "below 1, got 1.0"),
        ({"initial": 0.0}, "the initial damping must be a finite number above 0, got 0.0"),
        ({"initial": math.inf}, "the initial damping must be a finite number above 0, got inf"),
        ({"revert": True}, "needs the model"),
    ]:
        with pytest.raises(ValueError, match=message):
            LevenbergMarquardt(_loss(), **({"revert": False} | options))
    with pytest.raises(ValueError, match="pass initial="):
        LevenbergMarquardt(PNPLoss(), revert=False)
    with pytest.raises(ValueError, match="zero at every sound"):
        LevenbergMarquardt(_loss([[0.0, 0.0]]), revert=False)


def test_a_loss_without_damping_is_named(without_shape_checks):
    with pytest.raises(TypeError, match="must be the PNPLoss whose damping is scheduled; got ParameterLoss"):
        LevenbergMarquardt(ParameterLoss(), initial=1.0, revert=False)
