#!/usr/bin/env python
"""Report on the metric of a cache: `python scripts/inspect_metric.py cache/chirp.h5 --png figures`."""

import sys

from pnp.cli.main import main

if __name__ == "__main__":
    sys.exit(main(["inspect", *sys.argv[1:]]))
