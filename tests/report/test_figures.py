"""Figures by name."""

from pathlib import Path

import pytest
from random_caches import metric_cache

from pnp.cli.main import main
from pnp.report.figures import chosen_pairs, figures_of, pick, write_figures
from pnp.report.numbers import cache_report


def test_a_handful_is_chosen_however_many_parameters_there_are(tmp_path: Path) -> None:
    cache = metric_cache(tmp_path / "cache.h5", 31)
    report = cache_report(cache)
    assert len(figures_of(cache, report)) == 5 + 2 * 3
    assert chosen_pairs(report)[1:] == [(0, 2), (1, 2)] or (0, 1) in chosen_pairs(report)


def test_figures_are_drawn_one_at_a_time(tmp_path: Path) -> None:
    drawn: list[str] = []

    class Figure:
        def __init__(self, name: str) -> None:
            self.name = name

        def savefig(self, path: Path, dpi: int) -> None:
            assert drawn[-1] == self.name
            path.touch()

    def draw(name: str):
        return lambda: drawn.append(name) or Figure(name)

    written = write_figures({name: draw(name) for name in "abc"}, tmp_path / "figures")
    assert [path.name for path in written] == ["a.png", "b.png", "c.png"]


@pytest.mark.parametrize("n_parameters", [1, 3, 31])
def test_every_figure_can_be_drawn(n_parameters: int, tmp_path: Path) -> None:
    cache = metric_cache(tmp_path / "cache.h5", n_parameters, units=["$\\frac$"] * n_parameters)
    figures = figures_of(cache, cache_report(cache))
    for path in write_figures(figures, tmp_path / "figures"):
        assert path.stat().st_size > 2000


def test_names_pick_figures_and_a_wrong_one_is_answered(tmp_path: Path, capsys) -> None:
    cache = metric_cache(tmp_path / "cache.h5", 6)
    report = cache_report(cache)
    assert set(pick(cache, report, ["correlation", "ellipses-p05_level-p03_level"])) == {
        "correlation",
        "ellipses-p05_level-p03_level",
    }
    assert len(pick(cache, report, ["condition"])) == 3
    with pytest.raises(ValueError, match="did you mean 'correlation'"):
        pick(cache, report, ["corelation"])
    cache.close()
    command = ["inspect", str(tmp_path / "cache.h5"), "--figures", "eigenvalues"]
    assert main(command) == 2
    assert "--figures goes with --png" in capsys.readouterr().err
    assert main([*command, "--png", str(tmp_path / "figures")]) == 0
    assert [path.name for path in (tmp_path / "figures").iterdir()] == ["eigenvalues.png"]


def test_names_of_sixty_characters_leave_room_for_the_figure(tmp_path: Path) -> None:
    # The first two differ in the middle, where names are shortened.
    names = ["a" * 60, "a" * 30 + "b" + "a" * 29, *(f"p{p}_{'long' * 14}" for p in range(4))]
    cache = metric_cache(tmp_path / "cache.h5", 6, names=names)
    drawn = figures_of(cache, cache_report(cache))
    kinds = ("overview", "eigenvectors", "mean-metric", "correlation")
    # A figure without room for its axes warns, and warnings are errors here.
    assert len(write_figures({kind: drawn[kind] for kind in kinds}, tmp_path / "figures")) == 4
