"""Curves over a count or a size."""

from pnp import plots


def test_a_curve_begins_at_one_and_has_its_label() -> None:
    (ax,) = plots.curves({"PNP": [3.0, 2.0], "P": [4.0, 1.0, 0.5]}, "epoch", "loss", log=False).axes
    assert [list(line.get_xdata()) for line in ax.lines] == [[1, 2], [1, 2, 3]]
    assert [text.get_text() for text in ax.get_legend().get_texts()] == ["PNP", "P"]
    assert ax.get_yscale() == "linear"


def test_cost_of_each_size_has_its_range_and_its_ceiling() -> None:
    sweep = {
        "name": "N",
        "values": [1024, 2048],
        "seconds": [{"median": 2.0, "low": 1.5, "high": 4.0}, {"median": 4.0, "low": 3.0, "high": 5.0}],
        "ceiling_seconds": [0.5, 1.0],
    }
    first, second = plots.costs([sweep, sweep | {"name": "P"}]).axes
    assert [ax.get_xlabel() for ax in (first, second)] == ["N", "P"]
    assert [label.get_text() for label in first.get_xticklabels()] == ["1024", "2048"]
    (bars,) = first.collections
    assert [segment[:, 1].tolist() for segment in bars.get_segments()] == [[1.5, 4.0], [3.0, 5.0]]
    assert list(first.lines[-1].get_ydata()) == [0.5, 1.0]
