#!/usr/bin/env python
"""Make a metric cache: `pnp precompute`, as a script to copy and change. Run it again and it resumes."""

import sys

from pnp.cli.main import main

if __name__ == "__main__":
    sys.exit(main(["precompute", *sys.argv[1:]]))
