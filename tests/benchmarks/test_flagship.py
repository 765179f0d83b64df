"""The flagship's page has the tables of its results."""

import json
from pathlib import Path

import flagship
import pytest

ROOT = Path(__file__).parents[2]
RESULTS = sorted((ROOT / "benchmarks/results").glob("flagship*.json"))


@pytest.mark.parametrize("path", RESULTS, ids=lambda path: path.stem)
def test_the_page_has_the_tables_of_the_results(path, tmp_path):
    page = ROOT / "docs/evidence/flagship.md"
    results = json.loads(path.read_text("utf-8"))
    assert flagship.table(results) in page.read_text("utf-8")
    if "parts_of_centre" in results:
        assert flagship.parts_table(results) in page.read_text("utf-8")


def test_a_table_takes_the_place_of_the_one_before(tmp_path):
    page = tmp_path / "page.md"
    page.write_text("a\n<!-- t -->\nold\n<!-- end of t -->\nb\n", "utf-8")
    for table in ("| x |", "| y |"):
        flagship.write_tables(page, {"t": table})
        assert page.read_text("utf-8") == f"a\n<!-- t -->\n{table}\n<!-- end of t -->\nb\n"
