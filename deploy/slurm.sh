#!/usr/bin/env bash
# plackett bulk on the nodes of a SLURM allocation: sbatch --nodes 8 deploy/slurm.sh --input ... --output ...
# Input and output are on a file system that all nodes share. If the job is killed or runs out of time, submit it again:
# it goes on with the parts that are missing.
#SBATCH --job-name=plackett-bulk
#SBATCH --ntasks-per-node=1
#SBATCH --exclusive
#SBATCH --time=12:00:00
set -euo pipefail

head=$(scontrol show hostnames "$SLURM_JOB_NODELIST" | head -n 1)
srun --nodes="$SLURM_JOB_NUM_NODES" --ntasks="$SLURM_JOB_NUM_NODES" \
    ray symmetric-run --address "$head:6379" --min-nodes "$SLURM_JOB_NUM_NODES" -- \
    plackett bulk --address auto --concurrency "$SLURM_JOB_NUM_NODES" "$@"
