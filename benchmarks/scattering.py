#!/usr/bin/env python
"""The speed table of joint time-frequency scattering, ours beside Kymatio's: `pnp bench`, as a script."""

import sys

from pnp.cli.main import main

if __name__ == "__main__":
    sys.exit(main(["bench", *sys.argv[1:]]))
