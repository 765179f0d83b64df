"""Reports of results, of one run or of several."""

from dataclasses import replace
from pathlib import Path

import pytest

from pnp.bench import as_markdown, load_results, merge_results
from pnp.cli.main import main
from pnp.cli.outcome import EXIT_OK


def test_the_report_names_commit_command_and_machine(results) -> None:
    text = as_markdown(results)
    assert "| tiny S and J" in text
    assert results.environment.cpu in text
    assert "pnp bench" in text
    assert str(results.runs[0].commit) in text


@pytest.mark.parametrize(
    ("content", "message"),
    [("RIFF", "is not JSON"), ("[]", "holds no runs"), ('{"runs": []}', "is incomplete.*environment")],
)
def test_a_file_without_results_is_named(content: str, message: str, tmp_path: Path) -> None:
    (tmp_path / "results.json").write_text(content)
    with pytest.raises(ValueError, match=f"results.json {message}"):
        load_results([tmp_path / "results.json"])


def test_runs_on_one_machine_are_joined_and_the_later_counts(results) -> None:
    later = replace(results, configurations={"other": results.configurations["tiny"]}, peer=None, cost=())
    joined = merge_results([results, later])
    assert list(joined.configurations) == ["tiny", "other"]
    assert joined.runs == results.runs * 2
    assert joined.cost == results.cost
    assert joined.peer == results.peer


def test_runs_on_different_machines_are_not_joined(results) -> None:
    other = replace(results, environment=replace(results.environment, cores=-1))
    with pytest.raises(ValueError, match="different machines"):
        merge_results([results, other])


def test_results_are_reported_again_without_measuring(measured, capsys) -> None:
    results, file = measured
    assert main(["bench", "--results", str(file)]) == EXIT_OK
    assert capsys.readouterr().out == as_markdown(results) + "\n"
