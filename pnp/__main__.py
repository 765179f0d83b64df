"""`python -m pnp VERB` is `pnp VERB`."""

from pnp.cli.main import main

if __name__ == "__main__":
    raise SystemExit(main())
