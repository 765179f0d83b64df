"""Row numbers, as callers of a cache give them."""

import re
from typing import Any

import numpy as np
import pytest
import torch

from pnp.store.rows import is_index, row_numbers


@pytest.mark.parametrize(
    ("rows", "expected"),
    [
        (3, [3]),
        (-1, [7]),
        (np.int64(2), [2]),
        (torch.tensor(5), [5]),
        ([6, -8, 6], [6, 0, 6]),
        ((), []),
        (slice(None, None, 3), [0, 3, 6]),
        (slice(-2, 99), [6, 7]),
        (torch.tensor([1, 7], dtype=torch.int16), [1, 7]),
        (np.zeros(0), []),
    ],
)
def test_rows_are_counted_from_the_start_in_the_order_given(rows: Any, expected: list[int]) -> None:
    found = row_numbers(rows, 8)
    assert found.dtype == torch.long
    assert found.tolist() == expected


@pytest.mark.parametrize("rows", [8, -9, [0, 8], torch.tensor([-9])])
def test_rows_beyond_the_cache_are_refused(rows: Any) -> None:
    with pytest.raises(IndexError, match="is out of range for a cache of 8 rows"):
        row_numbers(rows, 8)


@pytest.mark.parametrize(
    "rows", ["12", None, 1.5, [0.5], [True], np.ones(2, bool), torch.zeros(2, 2, dtype=torch.long), {1, 2}]
)
def test_what_is_no_row_number_is_refused(rows: Any) -> None:
    with pytest.raises(TypeError, match=re.compile("row.*integer|whole number", re.DOTALL)):
        row_numbers(rows, 8)


def test_single_row_numbers_are_told_from_sequences() -> None:
    assert all(is_index(row) for row in (0, np.int8(1), np.array(2), torch.tensor(3)))
    assert not any(is_index(row) for row in (True, torch.tensor(True), [0], slice(1), np.zeros(1, int), 1.0))
