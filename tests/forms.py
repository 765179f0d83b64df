"""Random metrics and quadratic forms for tests of losses."""

import torch

N_SOUNDS, N_PARAMETERS, BATCH = 20, 3, 6


def randn(*shape, seed=0, dtype=torch.float64):
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed), dtype=torch.float64).to(dtype)


def form(matrix, du):
    return torch.einsum("bi,bij,bj->b", du, matrix.expand(len(du), -1, -1), du)
