"""`pnp bench`: a peer that is not there."""

from pnp.cli.main import main
from pnp.cli.outcome import EXIT_USAGE


def test_a_peer_that_is_not_there(capsys) -> None:
    argv = [
        "bench",
        "--peer",
        "nowhere/python",
        "--section",
        "table",
        "--configuration",
        "A",
        "--rounds",
        "1",
    ]
    assert main(argv) == EXIT_USAGE
    assert "no Python interpreter at 'nowhere/python'" in capsys.readouterr().err
