"""Presets: physical units in, every mistake named with row and column."""

import sys

import numpy as np
import pytest
import torch
from discrete import Organ, Spectrum

from pnp.offline.precompute import precompute
from pnp.offline.presets import read_presets
from pnp.store import MetricCache

SPACE = Organ().space
HEADER = "note,decay,wave,voices,velocity,fold"
ROWS = ["45,2.5,square,1,0.2,train", "60,20,sine,4,1.0,test", "", "50,7,soft_square,2,0.5,validation"]


def write(path, *rows, header=HEADER):
    path.write_text("\n".join([header, *rows]) + "\n", encoding="utf-8")
    return path


def test_a_file_becomes_a_cache(tmp_path):
    path = write(tmp_path / "presets.csv", *ROWS)
    precompute(Organ(), Spectrum(), tmp_path / "a.h5", theta=path, probe=False, progress=False)
    with MetricCache(tmp_path / "a.h5") as cache:
        expected = [[2.5, 1, 1, 45, 0.2], [20, 4, 0, 60, 1.0], [7, 2, 2, 50, 0.5]]
        torch.testing.assert_close(cache.theta, torch.tensor(expected, dtype=torch.float64))
        assert cache.fold.tolist() == [0, 2, 1]
        assert cache.config["method"] == "given"
        theta = cache.theta
    precompute(Organ(), Spectrum(), tmp_path / "b.h5", theta=theta, probe=False, progress=False)
    with MetricCache(tmp_path / "b.h5") as cache:
        torch.testing.assert_close(cache.theta, theta)


def test_another_fold_is_another_cache(tmp_path):
    path = write(tmp_path / "presets.csv", *ROWS)
    precompute(Organ(), Spectrum(), tmp_path / "a.h5", theta=path, probe=False, progress=False)
    write(path, *[row.replace("test", "train") for row in ROWS])
    with pytest.raises(Exception, match="fold_sha256"):
        precompute(Organ(), Spectrum(), tmp_path / "a.h5", theta=path, probe=False, progress=False)


def test_a_mark_of_a_spreadsheet_and_spaces_are_no_mistake(tmp_path):
    path = tmp_path / "presets.csv"
    path.write_bytes(("\ufeff decay , voices,wave,note,velocity\r\n 3 , 2 , sine , 44 , 0.5 \r\n").encode())
    presets = read_presets(SPACE, path)
    assert presets.folds is None
    torch.testing.assert_close(
        SPACE.from_unit(presets.u), torch.tensor([[3.0, 2, 0, 44, 0.5]], dtype=torch.float64)
    )


@pytest.mark.parametrize(
    ("row", "message"),
    [
        ("45,1.5,sine,1,0.5,train", r"row 1 \(line 3\), column 'decay': 1.5 1/s is outside \[2, 20\] 1/s"),
        ("45,,sine,1,0.5,train", r"row 1 \(line 3\), column 'decay': the cell is empty"),
        ('45,"2,5",sine,1,0.5,train', r"column 'decay': '2,5' is no number; write a decimal point"),
        ("45,2,5,sine,1,0.5,train", r"row 1 \(line 3\) has 7 cells .* 6 columns; likely a decimal comma"),
        ("45,2,sine,1,0.5", r"row 1 \(line 3\) has 5 cells"),
        ("45,nan,sine,1,0.5,train", r"column 'decay': the value must be finite"),
        ("45,3,sine,1.5,0.5,train", r"column 'voices': the value must be a whole number, got 1.5"),
        ("45.5,3,sine,1,0.5,train", r"column 'note': the value must be a whole number, got 45.5"),
        ("45,3,sqare,1,0.5,train", r"column 'wave': 'sqare' is no option; expected one of sine.*square"),
        ("45,3,sine,1,0.5,trian", r"column 'fold': 'trian' is no fold; expected one of train"),
    ],
)
def test_a_bad_cell_is_named(row, message, tmp_path):
    path = write(tmp_path / "presets.csv", ROWS[0], row)
    with pytest.raises(ValueError, match=f"presets.csv.*{message}"):
        read_presets(SPACE, path)


@pytest.mark.parametrize(
    ("header", "message"),
    [
        ("note,decay,wave,voices", "lacks the column 'velocity'; its first line must name decay"),
        ("note,decay,wave,voices,velocty", "has a column 'velocty', which is none of .*velocity"),
        ("note,decay,wave,voices,velocity,note", "has the column 'note' more than once"),
        ("note;decay;wave;voices;velocity", "separates its cells by semicolons"),
        ("note\tdecay\twave\tvoices\tvelocity", "separates its cells by tabs"),
        ("", "lacks the column 'decay'.*got nothing"),
        (HEADER, "has no presets"),
    ],
)
def test_a_bad_first_line_is_named(header, message, tmp_path):
    with pytest.raises(ValueError, match=message):
        read_presets(SPACE, write(tmp_path / "presets.csv", header=header))


def write_parquet(path, **changes):
    """The presets of `ROWS` in a Parquet file, with some columns changed, or left out by None."""
    pyarrow = pytest.importorskip("pyarrow")
    parquet = pytest.importorskip("pyarrow.parquet")
    columns = {
        "note": [45, 60, 50],
        "decay": [2.5, 20.0, 7.0],
        "wave": ["square", "sine", "soft_square"],
        "voices": [1, 4, 2],
        "velocity": [0.2, 1.0, 0.5],
        "fold": ["train", "test", "validation"],
    } | changes
    parquet.write_table(pyarrow.table({name: cells for name, cells in columns.items() if cells}), path)
    return path


def test_a_parquet_file_is_read_like_a_csv_file(tmp_path):
    exact = [2.5, 20.0, 7.0 + 1e-12]
    presets = read_presets(SPACE, write_parquet(tmp_path / "presets.parquet", decay=exact))
    csv = read_presets(
        SPACE, write(tmp_path / "presets.csv", *ROWS[:3], ROWS[3].replace("7", repr(exact[2]), 1))
    )
    assert torch.equal(presets.u, csv.u)
    assert presets.folds.tolist() == csv.folds.tolist() == [0, 2, 1]
    # By its first bytes, whatever it is called.
    assert torch.equal(read_presets(SPACE, write_parquet(tmp_path / "presets.dat", decay=exact)).u, csv.u)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"decay": [2.5, None, 7.0]}, r"row 1, column 'decay': the cell is empty"),
        ({"decay": ["2.5", "2,5", "7"]}, r"row 1, column 'decay': '2,5' is no number; write a decimal point"),
        ({"decay": [2.5, 20.0, 70.0]}, r"row 2, column 'decay': 70 1/s is outside \[2, 20\] 1/s"),
        ({"voices": [1.0, 3.5, 2.0]}, r"row 1, column 'voices': the value must be a whole number, got 3.5"),
        ({"wave": ["square", "sine", "sqare"]}, r"row 2, column 'wave': 'sqare' is no option"),
        ({"velocity": None}, "lacks the column 'velocity'"),
        ({"velocty": [0.2, 0.3, 0.4]}, "has a column 'velocty'.*did you mean 'velocity'"),
    ],
)
def test_a_bad_parquet_cell_is_named(changes, message, tmp_path):
    path = write_parquet(tmp_path / "presets.parquet", **changes)
    with pytest.raises(ValueError, match=f"presets.parquet.*{message}"):
        read_presets(SPACE, path)


def test_parquet_without_its_reader_and_a_damaged_file_are_named(tmp_path, monkeypatch):
    path = tmp_path / "presets.parquet"
    path.write_bytes(b"PAR1 and nothing else")
    with monkeypatch.context() as patch:
        patch.setitem(sys.modules, "pyarrow", None)
        with pytest.raises(ImportError, match=r"pip install pnp-metric\[parquet\]"):
            read_presets(SPACE, path)
    pytest.importorskip("pyarrow")
    with pytest.raises(ValueError, match="is no Parquet file, or it is damaged"):
        read_presets(SPACE, path)


def test_a_bad_array_is_named(tmp_path):
    good = [3.0, 2, 1, 44, 0.5]
    for column, value, message in (
        (0, 30.0, r"row 1, column 'decay': 30 1/s is outside \[2, 20\] 1/s"),
        (1, 2.5, "row 1, column 'voices': the value must be a whole number, got 2.5"),
        (2, 3.0, "row 1, column 'wave': 3 is the position of no option; .* 0 sine, 1 square"),
        (3, np.inf, "row 1, column 'note': the value must be finite"),
    ):
        bad = list(good)
        bad[column] = value
        with pytest.raises(ValueError, match=message):
            read_presets(SPACE, np.array([good, bad]))
    with pytest.raises(ValueError, match=r"shape \(size, 5\).*got \(1, 2\)"):
        read_presets(SPACE, [[3.0, 2.0]])
    with pytest.raises(FileNotFoundError, match=r"no file of presets at .*none\.csv"):
        read_presets(SPACE, tmp_path / "none.csv")
    with pytest.raises(ValueError, match="give one of both"):
        precompute(Organ(), Spectrum(), tmp_path / "x.h5", theta=[good], u=torch.zeros(1, 5), progress=False)
