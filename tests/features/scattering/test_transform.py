import copy
import json
import math
import pickle
from pathlib import Path

import numpy as np
import pytest
import torch
from torch.func import grad, jacfwd, jacrev, jvp, vmap

from pnp import TimeFrequencyScattering

REFERENCES = sorted((Path(__file__).parent / "reference").glob("kymatio_jtfs_*.npz"))
SMALL = {"shape": 1024, "J": 6, "Q": (4, 1), "J_fr": 2, "Q_fr": 1}
SUPPORTS = ("global", None, 0, 3.0)


def load(path):
    data = np.load(path)
    config = json.loads(str(data["config"]))
    config["Q"] = tuple(config["Q"])
    return data, config


def with_frames(S):
    return S[..., None] if S.ndim == 2 else S


def relative_error(value, reference):
    """Norm of the difference over norm of the reference, for each signal."""
    difference = (value.double() - reference).flatten(1).norm(dim=1)
    return (difference / reference.flatten(1).norm(dim=1)).max().item()


@pytest.mark.parametrize("path", REFERENCES, ids=lambda path: path.stem)
class TestAgainstKymatio:
    def test_coefficients_in_float64(self, path):
        data, config = load(path)
        jtfs = TimeFrequencyScattering(**config, normalization="kymatio")
        S = with_frames(jtfs(torch.tensor(data["x"])))
        assert relative_error(S, torch.tensor(data["S"])) < 1e-6

    def test_coefficients_in_float32(self, path):
        data, config = load(path)
        jtfs = TimeFrequencyScattering(**config, normalization="kymatio")
        S = with_frames(jtfs(torch.tensor(data["x"]).float()))
        assert S.dtype == torch.float32
        assert relative_error(S, torch.tensor(data["S"])) < 1e-5

    def test_gradients(self, path):
        data, config = load(path)
        jtfs = TimeFrequencyScattering(**config, normalization="kymatio")
        x = torch.tensor(data["x"], requires_grad=True)
        (torch.tensor(data["v"]) * with_frames(jtfs(x))).sum().backward()
        assert relative_error(x.grad, torch.tensor(data["grad_x"])) < 1e-5

    def test_paths_filters_and_padding(self, path):
        data, config = load(path)
        jtfs = TimeFrequencyScattering(**config, normalization="kymatio")
        meta = jtfs.meta()
        for name in ("n1", "n2", "n_fr", "spin", "order"):
            np.testing.assert_array_equal(meta[name], data[name])
        for order, name in enumerate(("psi1", "psi2")):
            index = meta[f"n{order + 1}"]
            rows = index >= 0
            for column, key in enumerate(("xi", "sigma", "j")):
                expected = data[name][index[rows], column]
                np.testing.assert_allclose(meta[key][rows, order], expected, rtol=1e-12)
                missing = meta[key][~rows, order]
                assert np.all((missing == -1) | np.isnan(missing.astype(float)))
        rows = meta["n_fr"] >= 0
        for column, key in enumerate(("xi_fr", "sigma_fr", "j_fr")):
            expected = data["psi_fr"][meta["n_fr"][rows], column]
            np.testing.assert_allclose(meta[key][rows], expected, rtol=1e-12)
        assert jtfs.plan.n_padded == data["n_padded"]
        assert jtfs.plan.log_frequency.n_padded == data["n_padded_fr"]

    def test_mean_normalization_is_kymatio_divided_by_the_number_of_terms(self, path):
        data, config = load(path)
        jtfs = TimeFrequencyScattering(**config, pad_mode="reflect")
        plan, meta = jtfs.plan, jtfs.meta()
        S = with_frames(jtfs(torch.tensor(data["x"])))
        terms = np.ones(len(meta["n1"]))
        if config["T"] == "global":
            strides = np.select(
                [meta["order"] == 0, meta["order"] == 1], [0, plan.log2_stride], meta["j"][:, 1]
            )
            terms *= plan.n_padded / 2.0**strides
        if config["F"] == "global":
            terms[meta["spin"] != 0] *= plan.log_frequency.n_padded / 2.0 ** meta["j_fr"][meta["spin"] != 0]
        reference = torch.tensor(data["S"] / terms[:, None])
        # With F < 2**J_fr, Kymatio's low-pass rows are elsewhere than their index says; with F > 2**J_fr its averages
        # wrap around. With Q_fr = 1, the two spins of its widest wavelet are not quite mirror images; here they are.
        same = np.ones(len(terms), dtype=bool)
        if config["F"] == 4:
            same = meta["spin"] != 0
        elif config["F"] == 12:
            same = (meta["order"] == 0) | (meta["spin"] == 0)
        widest = (
            np.abs(meta["xi_fr"]) == max(jtfs.plan.log_frequency.bank.xi)
            if config.get("Q_fr") == 1
            else np.zeros_like(same)
        )
        assert relative_error(S[:, same & ~widest], reference[:, same & ~widest]) < 1e-6
        assert (
            not (same & widest).any()
            or relative_error(S[:, same & widest], reference[:, same & widest]) < 1e-4
        )


@pytest.mark.parametrize("format", ["time", "joint"])
@pytest.mark.parametrize("F", SUPPORTS)
@pytest.mark.parametrize("T", ["global", None, 0, 50])
def test_every_combination_of_averages_and_formats(T, F, format):
    jtfs = TimeFrequencyScattering(**SMALL, T=T, F=F, format=format)
    x = torch.randn(2, 3, 1024)
    S = jtfs(x)
    meta = jtfs.meta()
    assert all(len(column) == S.shape[2] for column in meta.values())
    assert S.shape[:2] == (2, 3)
    assert S.ndim == 3 + (format == "joint") + (T != "global")
    if format == "joint":
        assert S.shape[3] == len(jtfs.n1_grid)
        assert (meta["n1"] == -1).all()
        assert meta["order"].min() == 1
    assert torch.isfinite(S).all()
    assert (S[:, :, meta["order"] > 0] > -1e-6).all()
    torch.testing.assert_close(S[1, 2], jtfs(x[1, 2]))

    def plain(x):
        return jtfs(x)

    torch.testing.assert_close(vmap(plain)(x[0]), S[0], rtol=1e-4, atol=1e-6)


def test_joint_format_holds_the_rows_of_the_time_format():
    time, joint = (TimeFrequencyScattering(**SMALL, T="global", F=4, format=f) for f in ("time", "joint"))
    x = torch.randn(1024, dtype=torch.float64)
    S_time, S_joint = time(x), joint(x)
    rows, paths = time.meta(), joint.meta()
    places = {int(n1): i for i, n1 in enumerate(joint.n1_grid)}
    compared = 0
    for row in np.flatnonzero(rows["order"] > 0):
        key = [rows[name][row] for name in ("order", "n2", "n_fr")]
        path = np.flatnonzero(
            np.all([paths[n] == k for n, k in zip(("order", "n2", "n_fr"), key, strict=True)], axis=0)
        )
        torch.testing.assert_close(S_time[row], S_joint[path.item(), places[int(rows["n1"][row])]])
        compared += 1
    assert compared == (rows["order"] > 0).sum()


class TestDerivatives:
    """Every way to differentiate agrees with every other, and with central differences."""

    @pytest.fixture(
        params=[
            {"T": "global", "F": "global"},
            {"T": "global", "F": 2},
            {"T": 50, "F": None, "format": "joint"},
            {"T": 0, "F": 0},
            {"T": 2.5, "F": 3},
            {"T": "global", "F": "global", "normalization": "kymatio", "pad_mode": "zero"},
        ],
        ids=str,
    )
    def jtfs(self, request):
        return TimeFrequencyScattering(**{**SMALL, "shape": 400, "J": 5}, **request.param)

    def test_tangents_agree_with_forward_mode(self, jtfs):
        x, dx = torch.randn(2, 400, dtype=torch.float64), torch.randn(2, 3, 400, dtype=torch.float64)
        S, dS = jtfs.value_and_tangents(x, dx)
        for p in range(3):
            value, tangent = jvp(jtfs, (x,), (dx[:, p],))
            torch.testing.assert_close(S, value, rtol=1e-12, atol=1e-14)
            torch.testing.assert_close(dS[:, p], tangent, rtol=1e-10, atol=1e-13)

    def test_tangents_agree_with_central_differences(self, jtfs):
        x, dx = torch.randn(1, 400, dtype=torch.float64), torch.randn(1, 1, 400, dtype=torch.float64)
        _, dS = jtfs.value_and_tangents(x, dx)
        h = 1e-5
        difference = (jtfs(x + h * dx[:, 0]) - jtfs(x - h * dx[:, 0])) / (2 * h)
        assert relative_error(dS[:, 0], difference) < 1e-6

    def test_backward_is_the_adjoint_of_forward_mode(self, jtfs):
        x = torch.randn(2, 400, dtype=torch.float64, requires_grad=True)
        dx = torch.randn(2, 400, dtype=torch.float64)
        S, dS = jvp(jtfs, (x.detach(),), (dx,))
        v = torch.randn_like(S)
        (g,) = torch.autograd.grad((jtfs(x) * v).sum(), x)
        torch.testing.assert_close((g * dx).sum(), (v * dS).sum(), rtol=1e-11, atol=1e-12)

    def test_functional_gradients_agree_with_backward(self, jtfs):
        x = torch.randn(2, 400, dtype=torch.float64, requires_grad=True)

        def loss(x):
            return jtfs(x).square().sum()

        loss(x).backward()
        torch.testing.assert_close(vmap(grad(loss))(x.detach()), x.grad, rtol=1e-10, atol=1e-13)

    def test_float32_agrees_with_float64(self, jtfs):
        x, dx = torch.randn(1, 400, dtype=torch.float64), torch.randn(1, 2, 400, dtype=torch.float64)
        (S, dS), (S32, dS32) = jtfs.value_and_tangents(x, dx), jtfs.value_and_tangents(x.float(), dx.float())
        assert relative_error(S32, S) < 1e-5
        assert relative_error(dS32, dS) < 1e-4

    def test_double_backward_agrees_with_forward_over_reverse(self, jtfs):
        x = torch.randn(400, dtype=torch.float64, requires_grad=True)
        direction = torch.randn(400, dtype=torch.float64)

        def loss(x):
            return jtfs(x).square().sum()

        (g,) = torch.autograd.grad(loss(x), x, create_graph=True)
        (hv,) = torch.autograd.grad((g * direction).sum(), x)
        expected = jvp(grad(loss), (x.detach(),), (direction,))[1]
        torch.testing.assert_close(hv, expected, rtol=1e-7, atol=1e-10)


def test_jacfwd_and_jacrev_agree():
    jtfs = TimeFrequencyScattering(shape=64, J=3, Q=(2, 1), J_fr=2, T="global", F="global")
    x = torch.randn(64, dtype=torch.float64)
    torch.testing.assert_close(jacfwd(jtfs)(x), jacrev(jtfs)(x), rtol=1e-9, atol=1e-12)


def test_silence_has_no_features_and_no_derivative():
    jtfs = TimeFrequencyScattering(**SMALL, T="global", F="global")
    x = torch.zeros(1, 1024, requires_grad=True)
    S = jtfs(x)
    S.sum().backward()
    assert not S[:, 1:].any()
    assert not x.grad[:, ::7].isnan().any()
    _, dS = jtfs.value_and_tangents(x.detach(), torch.zeros(1, 1, 1024))
    assert not dS.any()


class TestPhysics:
    @pytest.fixture
    def jtfs(self):
        return TimeFrequencyScattering(shape=8192, J=9, Q=(8, 1), J_fr=3, Q_fr=1, T="global", F=0)

    def test_pure_tone_lights_the_band_of_its_frequency(self, jtfs):
        meta = TimeFrequencyScattering(shape=8192, J=9, Q=(8, 1), J_fr=3, T="global", F="global").plan.psi1
        for n1 in (5, 20, 35):
            tone = torch.sin(2 * math.pi * meta.xi[n1] * torch.arange(8192.0))
            rows = jtfs.meta()
            # At order 1 the low-pass frequential filter is a blurred scalogram: its row nearest to n1 is the loudest.
            order1 = np.flatnonzero((rows["order"] == 1) & (rows["n_fr"] == 0))
            loudest = rows["n1"][order1][jtfs(tone)[order1].argmax().item()]
            assert abs(loudest - n1) <= 8

    def test_time_reversal_swaps_spins(self):
        # Padding by reflection would add the reversal of the signal to the signal.
        jtfs = TimeFrequencyScattering(
            shape=8192, J=9, Q=(8, 1), J_fr=3, Q_fr=1, T="global", F=0, pad_mode="zero"
        )
        t = torch.arange(8192, dtype=torch.float64) % 1024 / 1024
        chirp = torch.hann_window(8192, dtype=torch.float64) * torch.sin(
            2 * math.pi * 10 * (2 ** (4 * t) - 1)
        )
        S, reversed_ = jtfs(chirp), jtfs(chirp.flip(0))
        meta = jtfs.meta()
        half = len(jtfs.plan.log_frequency.bank)
        up = np.flatnonzero(meta["spin"] == 1)
        up = up[meta["order"][up] == 2]
        keys = {
            tuple(int(meta[k][i]) for k in ("order", "n1", "n2", "n_fr")): i for i in range(len(meta["n1"]))
        }
        down = [keys[2, int(meta["n1"][i]), int(meta["n2"][i]), int(meta["n_fr"][i]) + half] for i in up]
        # Upward chirps tell the spins apart; their reversal swaps them.
        assert (S[up] - S[down]).norm() > 0.3 * S[up].norm()
        assert (reversed_[up] - S[down]).norm() < 1e-3 * S[up].norm()

    def test_transposition_moves_along_log_frequency(self, jtfs):
        psi1, meta = jtfs.plan.psi1, jtfs.meta()
        t = torch.arange(8192.0, dtype=torch.float64)
        low_pass = (meta["order"] == 1) & (meta["n_fr"] == 1)
        n1 = meta["n1"][low_pass]

        def centre(index):
            S = jtfs(torch.sin(2 * math.pi * psi1.xi[index] * t))[low_pass].numpy()
            return float((S**2 * n1).sum() / (S**2).sum())

        assert centre(28) - centre(20) == pytest.approx(8, abs=0.1)

    def test_small_time_shifts_change_little(self, jtfs):
        window = torch.hann_window(4096, dtype=torch.float64)
        x = torch.zeros(8192, dtype=torch.float64)
        x[2048:6144] = window * torch.sin(0.3 * torch.arange(4096, dtype=torch.float64))
        S = jtfs(x)[1:]  # order 0 is an average of the waveform
        for shift in (1, 16, 64):
            assert (jtfs(x.roll(shift))[1:] - S).norm() < 1e-2 * S.norm()
        assert (x.roll(16) - x).norm() > x.norm()

    def test_amplitude_scales_coefficients(self, jtfs):
        x = torch.randn(8192, dtype=torch.float64)
        torch.testing.assert_close(jtfs(3.5 * x), 3.5 * jtfs(x), rtol=1e-9, atol=1e-12)


def test_results_do_not_depend_on_the_number_of_threads():
    jtfs = TimeFrequencyScattering(**SMALL, T="global", F="global")
    x, dx = torch.randn(1, 1024), torch.randn(1, 2, 1024)
    one = jtfs.value_and_tangents(x, dx)
    threads = torch.get_num_threads()
    try:
        torch.set_num_threads(2)
        two = jtfs.value_and_tangents(x, dx)
        assert torch.get_num_threads() == 2
    finally:
        torch.set_num_threads(threads)
    assert all(torch.equal(a, b) for a, b in zip(one, two, strict=True))


def test_gradients_do_not_depend_on_the_number_of_threads():
    jtfs = TimeFrequencyScattering(**SMALL, T="global", F="global")
    x = torch.randn(2, 1024, requires_grad=True)
    threads = torch.get_num_threads()
    gradients = []
    try:
        for n_threads in (1, 2):
            torch.set_num_threads(n_threads)
            gradients += torch.autograd.grad(jtfs(x).square().sum(), x)
            assert torch.get_num_threads() == n_threads
    finally:
        torch.set_num_threads(threads)
    assert torch.equal(*gradients)


@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a CUDA device")
@pytest.mark.parametrize("settings", [{"T": "global", "F": "global"}, {"T": 50, "F": 4}], ids=str)
def test_cuda_agrees_with_cpu(settings):
    jtfs = TimeFrequencyScattering(**SMALL, **settings)
    x, dx = torch.randn(2, 1024), torch.randn(2, 3, 1024)

    def everything(device):
        y = x.to(device).requires_grad_()
        S, dS = jtfs.value_and_tangents(y.detach(), dx.to(device))
        return S, dS, *torch.autograd.grad(jtfs(y).square().sum(), y)

    for a, b in zip(everything("cpu"), everything("cuda"), strict=True):
        assert relative_error(b.cpu(), a) < 1e-4


def test_copies_pickles_and_dtypes():
    jtfs = TimeFrequencyScattering(**SMALL, T="global", F="global")
    x = torch.randn(1024)
    S = jtfs(x)
    for other in (
        copy.deepcopy(jtfs),
        pickle.loads(pickle.dumps(jtfs)),
        TimeFrequencyScattering(**jtfs.config()),
    ):
        assert torch.equal(other(x), S)
    assert jtfs.double()(x.double()).dtype == torch.float64


class TestBadInput:
    jtfs = TimeFrequencyScattering(shape=64, J=3, Q=(2, 1), J_fr=2, T="global", F="global")

    def test_wrong_length(self):
        with pytest.raises(ValueError, match=r"\(\.\.\., 64\), got \(2, 65\)"):
            self.jtfs(torch.zeros(2, 65))

    @pytest.mark.parametrize("dtype", [torch.int64, torch.float16, torch.complex64])
    def test_wrong_dtype(self, dtype):
        with pytest.raises(TypeError, match="float32 or float64"):
            self.jtfs(torch.zeros(64, dtype=dtype))

    @pytest.mark.parametrize("value", [math.nan, math.inf])
    def test_not_finite(self, value):
        x = torch.zeros(64)
        x[3] = value
        with pytest.raises(ValueError, match="got 1 NaN or infinite"):
            self.jtfs(x)

    def test_tangents_of_another_batch(self):
        with pytest.raises(ValueError, match="value_and_tangents expects"):
            self.jtfs.value_and_tangents(torch.zeros(2, 64), torch.zeros(3, 1, 64))

    @pytest.mark.parametrize(
        ("change", "message"),
        [
            ({"J": 0}, "J must be a whole number of at least 1, got 0"),
            ({"J": 7}, "longer than the signal"),
            ({"Q": (0, 1)}, "Q must be a whole number of at least 1"),
            ({"T": 65}, "T cannot exceed .* 64"),
            ({"T": -1}, "T must be 'global', None, 0 or a number"),
            ({"F": "all"}, "F must be 'global'"),
            ({"format": "array"}, "format must be one of 'time', 'joint'"),
            ({"normalization": "sum"}, "normalization must be one of"),
            ({"pad_mode": "wrap"}, "pad_mode must be one of"),
        ],
    )
    def test_settings(self, change, message):
        settings = {"shape": 64, "J": 3, "Q": (2, 1), "J_fr": 2, "T": "global", "F": "global"}
        with pytest.raises(ValueError, match=message):
            TimeFrequencyScattering(**(settings | change))


def test_filters_in_double_precision_are_not_kept_beside_the_tables():
    jtfs = TimeFrequencyScattering(shape=8192, J=9, Q=(8, 1), J_fr=3)
    jtfs(torch.randn(1, 8192))

    def size(value):
        if isinstance(value, (np.ndarray, torch.Tensor)):
            return value.nbytes
        parts = value if isinstance(value, (tuple, list)) else getattr(value, "__dict__", {}).values()
        return sum(size(part) for part in parts)

    (tables,) = jtfs._tables_cache.values()
    assert size(jtfs.plan) < size(tables) / 2
