#!/usr/bin/env bash
# One part of a cache for each task of a SLURM job array:
#   sbatch --array=0-15 scripts/precompute_array.sh --synth drum --size 100000
# Arguments are those of `pnp precompute`, without --shard, --jobs and --out. What matters to the cluster:
#SBATCH --job-name=pnp
#SBATCH --cpus-per-task=4
#SBATCH --mem-per-cpu=2G
#SBATCH --time=04:00:00
#SBATCH --requeue
#SBATCH --output=pnp-%A-%a.log
set -euo pipefail

# A worker computes in one thread; more would only wait for each other.
export OMP_NUM_THREADS=1 MKL_NUM_THREADS=1
# A bar that is redrawn ten times a second fills a log file.
export TQDM_MININTERVAL=60

# A task that is killed, by its time limit or with its node, is queued again and goes on after its last block. Exit code 1
# says that some sounds failed, which the cache records and which must not look like a failed task.
pnp precompute "$@" --shard "$SLURM_ARRAY_TASK_ID/$SLURM_ARRAY_TASK_COUNT" --jobs "${SLURM_CPUS_PER_TASK:-1}" ||
    [ $? -eq 1 ]
