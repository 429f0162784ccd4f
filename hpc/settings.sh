# shellcheck shell=bash disable=SC2034
# The one place for what differs between clusters. A variable of the environment goes before these.

# The container; empty: the environment of the shell (a venv that is active, or modules).
: "${CONTAINER:=}"                  # voxtwist.sif: apptainer build voxtwist.sif hpc/voxtwist.def
: "${BINDS:=}"                      # folders outside the project, as /data,/models

# SLURM. Empty: the cluster's default.
: "${ACCOUNT:=}"
: "${CPU_PARTITION:=}"
: "${GPU_PARTITION:=}"
: "${GPUS:=gpu}"                    # kind of GPU, as --gres names it: gpu, or gpu:h100
: "${GPUS_PER_NODE:=1}"
: "${NODES:=1}"                     # of training
: "${CPUS:=8}"                      # of a job; of a GPU in training
: "${MEMORY:=64G}"                  # of a node
: "${CPU_TIME:=04:00:00}"
: "${TRAIN_TIME:=12:00:00}"         # training that takes longer is put back into the queue
: "${EVALUATE_TIME:=12:00:00}"
: "${SWEEP_TIME:=08:00:00}"
: "${SECONDS_TO_SAVE:=300}"         # before the time is up, training and sweep are told to stop
: "${CONVERT_JOBS:=16}"             # that share the shards
: "${SWEEP_JOBS:=8}"                # that share the trials, a GPU each

# What the jobs see.
: "${HF_HOME:=$PWD/.cache/huggingface}"
export HF_HOME
# export MLFLOW_TRACKING_URI=...    # a server; without it mlflow.db of this folder is used
