#!/usr/bin/env python
"""Train a sound-matching network with a precomputed metric: `pnp train`, as a script to copy and change."""

import sys

from pnp.cli.main import main

if __name__ == "__main__":
    sys.exit(main(["train", *sys.argv[1:]]))
