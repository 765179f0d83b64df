"""The offline stage; run again, it resumes: `python scripts/precompute.py --synth chirp --size 4096 --jobs 2`."""

import sys

from pnp.cli import main

if __name__ == "__main__":
    sys.exit(main(["precompute", *sys.argv[1:]]))
