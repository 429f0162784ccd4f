"""hpc/ with stand-ins for SLURM's commands: what is submitted, run, and put back into the queue."""

import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
import yaml

ROOT = Path(__file__).parents[2]
SCRIPTS = sorted(path for path in (ROOT / "hpc").iterdir() if path.is_file())

# SLURM's and DVC's commands write down how they were called. `srun` runs its command once a task.
STUBS = {
    "sbatch": 'echo "sbatch $*" >> calls; wc -l < calls',
    "scontrol": 'echo "scontrol $*" >> calls; [ "$1" != show ] || printf "node1\\nnode2\\n"',
    "dvc": 'echo "dvc $*" >> calls; [ "$1" != status ] || exit "${STATUS:-1}"',
    "srun": """
        while [[ "$1" == -* ]]; do shift; done
        code=0
        for ((task = 0; task < SLURM_NTASKS; task++)); do
          SLURM_PROCID=$task SLURM_LOCALID=$task "$@" || code=$?
        done
        exit $code""",
}


class Cluster:
    """A project folder in which the scripts run with the stubs on the path."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        shutil.copytree(ROOT / "hpc", folder / "hpc", ignore=shutil.ignore_patterns("logs"))
        (folder / "bin").mkdir()
        for name, body in STUBS.items():
            self.stub(name, body)

    def stub(self, name: str, body: str) -> None:
        file = self.folder / "bin" / name
        file.write_text(f"#!/usr/bin/env bash\n{body}\n")
        file.chmod(0o755)

    def run(self, *command: str, **environment: str) -> subprocess.CompletedProcess[str]:
        slurm = {"SLURM_SUBMIT_DIR": str(self.folder), "SLURM_JOB_ID": "71",
                 "SLURM_JOB_NODELIST": "node[1-2]", "SLURM_NTASKS": "2"}  # fmt: skip
        path = f"{self.folder / 'bin'}:{os.environ['PATH']}"
        return subprocess.run(
            command, cwd=self.folder, env={**os.environ, **slurm, "PATH": path, **environment},
            capture_output=True, text=True,
        )  # fmt: skip

    def calls(self) -> list[str]:
        return (self.folder / "calls").read_text().splitlines()


@pytest.fixture
def cluster(tmp_path: Path) -> Cluster:
    return Cluster(tmp_path)


def test_shellcheck_has_nothing_to_say():
    scripts = [path for path in SCRIPTS if path.suffix != ".def"]
    command = [Path(sys.executable).with_name("shellcheck"), "-x", *scripts]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True)
    assert done.returncode == 0, done.stdout


def test_no_script_names_a_place_of_one_cluster():
    system = {"/bin", "/usr", "/opt", "/var"}  # interpreters, and the inside of the image
    examples = {"/data", "/models"}
    for path in SCRIPTS:
        absolute = set(re.findall(r"(?<![\w.})/*])/[a-z]\w*", path.read_text()))
        assert absolute <= system | examples, path.name


def test_each_step_waits_for_the_one_before_it(cluster):
    done = cluster.run("hpc/submit", "all", ACCOUNT="speech", NODES="2", GPUS_PER_NODE="4")
    assert done.returncode == 0, done.stderr
    base, convert, prepare, train, evaluate = cluster.calls()
    assert base.endswith("hpc/stages.sbatch base")
    assert "--dependency" not in base
    for earlier, call in enumerate((convert, prepare, train, evaluate), start=1):
        assert f"--dependency=afterok:{earlier} " in call
        assert "--account=speech" in call
    assert "--array=0-15 hpc/convert.sbatch" in convert
    assert "--nodes=2 --ntasks-per-node=4 --gres=gpu:4" in train
    assert "--requeue" in train
    assert "--signal=TERM@300" in train
    assert cluster.run("hpc/submit", "nonsense").returncode == 2
    assert len(cluster.calls()) == 5


@pytest.mark.parametrize(
    ("code", "last"),
    [(0, "dvc commit --force train"), (75, "scontrol requeue 71"), (1, "scontrol show")],
)
def test_training_is_committed_put_back_or_failed(cluster, code, last):
    cluster.stub(
        "python",
        'echo "$* $RANK/$WORLD_SIZE $LOCAL_RANK $MASTER_ADDR $DVC_STAGE" >> calls\n'
        f'[ "$RANK" = 0 ] || exit 0; exit {code}',
    )
    old = cluster.folder / "checkpoints/sft"
    old.mkdir(parents=True)
    done = cluster.run("bash", "hpc/train.sbatch")
    assert done.returncode == (1 if code == 1 else 0), done.stderr
    calls = cluster.calls()
    assert calls[2:4] == [f"pipelines/train.py {rank}/2 {rank} node1 train" for rank in (0, 1)]
    assert [*calls[:2], *calls[4:]][-1].startswith(last)
    assert not old.exists()


def test_the_signal_to_save_reaches_the_training(cluster):
    os.mkfifo(cluster.folder / "ready")
    waits = "signal.signal(signal.SIGTERM, lambda *_: sys.exit(75)); open('ready', 'w').close()"
    cluster.stub(
        "python", f'exec {sys.executable} -c "import signal, sys; {waits}; signal.pause()"'
    )
    task = subprocess.Popen(
        ["hpc/task"], cwd=cluster.folder,
        env={**os.environ, "PATH": f"{cluster.folder / 'bin'}:{os.environ['PATH']}",
             "SLURM_PROCID": "0", "SLURM_NTASKS": "1", "SLURM_LOCALID": "0"},
    )  # fmt: skip
    (cluster.folder / "ready").read_text()  # until it is written
    task.terminate()
    assert task.wait() == 75


def test_an_array_works_on_one_sweep_and_its_first_task_writes_the_results(cluster):
    done = cluster.run("hpc/submit", "sweep", SWEEP_JOBS="3", GPU_PARTITION="a100")
    assert done.returncode == 0, done.stderr
    assert "--partition=a100" in cluster.calls()[0]
    assert "--array=0-2 --gres=gpu:1" in cluster.calls()[0]
    cluster.stub("python", 'echo "$* $VOXTWIST_STORAGE" >> calls')
    for task in ("0", "2"):
        done = cluster.run("bash", "hpc/sweep.sbatch", SLURM_ARRAY_TASK_ID=task)
        assert done.returncode == 0, done.stderr
    journal = cluster.folder / ".scratch/sweep/shared.journal"
    assert cluster.calls()[1:] == [
        f"-m voxtwist sweep run {journal}", f"-m voxtwist sweep run --join {journal}"
    ]  # fmt: skip


def test_nothing_is_trained_twice(cluster):
    done = cluster.run("bash", "hpc/train.sbatch", STATUS="0")
    assert done.returncode == 0
    assert cluster.calls() == ["dvc status --quiet train"]


def test_commands_run_in_the_container_when_there_is_one(cluster):
    cluster.stub("apptainer", 'echo "apptainer $*" >> calls')
    done = cluster.run("bash", "hpc/stages.sbatch", "twist", CONTAINER="v.sif", BINDS="/data")
    assert done.returncode == 0, done.stderr
    here = cluster.folder
    assert cluster.calls() == [
        f"apptainer exec --nv --bind {here},/data --pwd {here} v.sif dvc repro twist"
    ]


@pytest.mark.slow
def test_an_array_converts_what_the_stage_then_only_joins(cluster, stand_ins):
    folder = cluster.folder
    settings = yaml.safe_load((ROOT / "params.yaml").read_text())
    settings["data"] |= {"raw": str(stand_ins / "data"), "max_length": 300}
    settings["codec"] |= {"n_codes": 4096}
    (folder / "params.yaml").write_text(yaml.safe_dump(settings))
    (folder / "checkpoints").mkdir()
    (folder / "checkpoints/base").symlink_to(stand_ins / "models/Qwen3-tiny")
    for name in ("src", "pipelines"):
        (folder / name).symlink_to(ROOT / name)
    for task in ("0", "1"):
        array = {"SLURM_ARRAY_TASK_ID": task, "SLURM_ARRAY_TASK_COUNT": "2"}
        done = cluster.run("bash", "hpc/convert.sbatch", **array)
        assert done.returncode == 0, done.stderr
    parts = sorted((folder / ".scratch/convert").rglob("*.jsonl"))
    parts = [part for part in parts if "rejected" not in part.name]
    assert len(parts) == 3
    # A part that says something else than its shard shows that the stage reads it, not the shard.
    changed = parts[0].read_bytes().replace(b"1", b"2", 1)
    parts[0].write_bytes(changed)
    joined = b"".join(part.read_bytes() for part in parts)
    done = cluster.run(sys.executable, "pipelines/convert.py", DVC_ROOT=str(folder))
    assert done.returncode == 0, done.stderr
    assert (folder / "data/sft/all.jsonl").read_bytes() == joined
    assert len((folder / "data/sft/all.jsonl").read_text().splitlines()) == 36
