"""Fixtures of the tests of the offline stage."""

import pytest


@pytest.fixture(autouse=True)
def _fixed_date(monkeypatch: pytest.MonkeyPatch) -> None:
    """The date is the one thing in which two runs of a command differ."""
    monkeypatch.setenv("SOURCE_DATE_EPOCH", "1000000000")
