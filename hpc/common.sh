# shellcheck shell=bash
# What the job scripts share. They run in the folder that they were submitted from, the project.
set -euo pipefail
# shellcheck source=hpc/settings.sh
source hpc/settings.sh
export MLFLOW_DISABLE_TELEMETRY=true PYTHONPATH="$PWD/src"
# DVC's locks and links must be the same on all nodes; its default, /var/tmp, is each node's own.
export DVC_SITE_CACHE_DIR="${DVC_SITE_CACHE_DIR:-$PWD/.dvc/tmp/site}"
mkdir -p hpc/logs

# What stands before a command that runs in the container; nothing where there is none.
container=()
[ -z "$CONTAINER" ] ||
  container=(apptainer exec --nv --bind "$PWD${BINDS:+,$BINDS}" --pwd "$PWD" "$CONTAINER")
inside() { "${container[@]}" "$@"; }

# A setting of params.yaml: param data.raw
param() {
  inside python -c '
import sys, yaml
value = yaml.safe_load(open("params.yaml"))
for key in sys.argv[1].split("."):
    value = value[key]
print("" if value is None else value)' "$1"
}
