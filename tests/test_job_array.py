"""The job array of the page on the offline stage: its command lines as printed, with a queue that is a plain shell."""

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest
import torch

import pnp
from pnp.cli.main import EXIT_OK, main
from pnp.store import check_integrity

ROOT = Path(__file__).parents[1]

# Runs at once what SLURM would queue: every task of an array, then what depends on it.
SBATCH = """#!/usr/bin/env bash
set -euo pipefail
while [[ "$1" == --* ]]; do
    case "$1" in
        --array=0-*) last="${1#--array=0-}" ;;
        --dependency=afterany:7) ;;
        --parsable) ;;
        --wrap) bash -c "$2"; exit ;;
        *) echo "unexpected option $1" >&2; exit 2 ;;
    esac
    shift
done
for task in $(seq 0 "$last"); do
    SLURM_ARRAY_TASK_ID=$task SLURM_ARRAY_TASK_COUNT=$((last + 1)) SLURM_CPUS_PER_TASK=1 bash "$@" >&2
done
echo 7
"""

PNP = f"""#!/usr/bin/env bash
exec "{sys.executable}" -m pnp "$@"
"""


@pytest.mark.slow
def test_the_page_s_job_array_makes_the_cache_of_one_run(tmp_path, monkeypatch):
    monkeypatch.setenv("SOURCE_DATE_EPOCH", "1000000000")
    page = (ROOT / "docs/how-to/cluster.md").read_text(encoding="utf-8")
    block = re.search(r"^```sh\n(array=.*?)^```", page, re.MULTILINE | re.DOTALL)
    assert block is not None
    small = "--size 6 --block 2 --synth-option n_samples=2048 --J 6 --Q 4,1 --J-fr 2 --Q-fr 1"
    lines = block.group(1).replace("--size 100000", small).replace("0-15", "0-2").replace("of16", "of3")
    lines = lines.replace("scripts/", f"{ROOT}/scripts/")
    for name, content in {"sbatch": SBATCH, "pnp": PNP}.items():
        (tmp_path / name).write_text(content)
        (tmp_path / name).chmod(0o755)
    environment = os.environ | {
        "PATH": f"{tmp_path}{os.pathsep}{os.environ['PATH']}",
        "PYTHONPATH": str(ROOT),
        "OMP_NUM_THREADS": "1",
    }
    done = subprocess.run(
        ["bash", "-eu", "-c", lines],
        cwd=tmp_path,
        env=environment,
        capture_output=True,
        text=True,
        timeout=300,
    )
    assert done.returncode == 0, done.stderr
    assert "6 of 6 rows, 0 failed, 6 recomputed: intact" in done.stdout
    cache = tmp_path / "cache"
    assert {path.name for path in cache.iterdir()} == {
        "drum.h5",
        *(f"drum.{part}of3.h5" for part in range(3)),
    }
    whole = [
        "precompute",
        "--synth",
        "drum",
        *small.split(),
        "--out",
        str(tmp_path / "one.h5"),
        "--jobs",
        "1",
    ]
    assert main(whole) == EXIT_OK
    assert check_integrity(cache / "drum.h5").ok
    with pnp.MetricCache(cache / "drum.h5") as merged, pnp.MetricCache(tmp_path / "one.h5") as one:
        assert merged.fingerprint == one.fingerprint
        assert torch.equal(merged.metrics().factor, one.metrics().factor)
        assert torch.equal(merged.jacobian(slice(None)), one.jacobian(slice(None)))
