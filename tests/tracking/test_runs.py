import subprocess
import sys
from pathlib import Path

import pytest
import sqlalchemy
from mlflow.exceptions import MlflowException
from sqlalchemy.orm import Session

from voxtwist.tracking import runs
from voxtwist.tracking.runs import Dataset, resume_run, run_name, training_run
from voxtwist.tracking.store import Store

PARAMS = {"preset": "debug", "train": {"learning_rate": 6e-4, "max_steps": None}}


def test_a_training_run_holds_what_it_was_told(store: Store, lineage, tmp_path: Path):
    sample = tmp_path / "answer.flac"
    sample.write_bytes(b"fLaC")
    split = Dataset("train split", "ab" * 16 + ".dir", Path("data/splits"))
    with training_run(store, "debug", params=PARAMS, lineage=lineage, datasets=[split]) as run:
        run.log_metrics({"train/loss_speech": 8.3}, step=1)
        run.log_metrics({"train/loss_speech": 4.2}, step=2)
        run.log_artifact(sample, "samples")

    found = store.client.get_run(run.id)
    assert found.info.status == "FINISHED"
    assert found.info.run_name == "debug"
    assert found.data.params == {
        "preset": "debug",
        "train.learning_rate": "0.0006",
        "train.max_steps": "None",
    }
    assert found.data.metrics["train/loss_speech"] == 4.2
    assert found.data.tags["git.dirty"] == "true"
    assert found.data.tags["md5.train_split"] == "0" * 32
    [dataset] = found.inputs.dataset_inputs
    assert (dataset.dataset.name, dataset.dataset.digest) == ("train split", "ab" * 16 + ".dir")
    patch = store.client.download_artifacts(run.id, "lineage/work_tree.patch")
    assert Path(patch).read_text() == "+learning_rate: 3e-4\n"
    assert store.client.list_artifacts(run.id, "samples")[0].path == "samples/answer.flac"


def test_two_runs_log_the_same_new_data_at_once(store: Store, lineage):
    split = Dataset("train split", "ab" * 16, Path("data/splits"))
    with (
        training_run(store, "first", params={}, lineage=lineage) as first,
        training_run(store, "second", params={}, lineage=lineage) as second,
    ):

        @sqlalchemy.event.listens_for(Session, "before_flush", once=True)
        def the_other_was_faster(*_):
            second.log_datasets([split])

        first.log_datasets([split])
    for run in (first, second):
        [dataset] = store.client.get_run(run.id).inputs.dataset_inputs
        assert dataset.dataset.digest == "ab" * 16


def test_system_metrics_are_recorded(store: Store, lineage, monkeypatch):
    monkeypatch.setenv("MLFLOW_SYSTEM_METRICS_SAMPLING_INTERVAL", "0.05")
    with training_run(store, "debug", params={}, lineage=lineage) as run:
        while (
            "system/system_memory_usage_megabytes" not in store.client.get_run(run.id).data.metrics
        ):
            pass


def test_a_crash_is_recorded_as_failed_and_keeps_its_metrics(store: Store, lineage):
    with (
        pytest.raises(ZeroDivisionError),
        training_run(store, "debug", params=PARAMS, lineage=lineage) as run,
    ):
        run.log_metrics({"loss": 1.0})
        _ = 1 / 0
    found = store.client.get_run(run.id)
    assert found.info.status == "FAILED"
    assert found.info.end_time is not None
    assert found.data.metrics["loss"] == 1.0


def test_settings_that_mlflow_refuses_leave_no_run_running(store: Store, lineage):
    with (
        pytest.raises(MlflowException, match="Invalid value"),
        training_run(store, "debug", params={"pass@1": 1}, lineage=lineage),
    ):
        pass
    [found] = store.client.search_runs([store.experiment_id])
    assert found.info.status == "FAILED"


def test_sigterm_is_recorded_as_killed_after_training_could_save(tmp_path: Path, store: Store):
    code = """
import os, signal, sys
from pathlib import Path
from voxtwist.tracking.lineage import Commit, Lineage
from voxtwist.tracking.runs import training_run
from voxtwist.tracking.store import open_store
root = Path(sys.argv[1])
lineage = Lineage(Commit(None, False, ""), None, None, {})
with training_run(open_store(root, "voxtwist"), "debug", params={}, lineage=lineage) as run:
    run.log_metrics({"loss": 1.0}, 3)
    try:
        os.kill(os.getpid(), signal.SIGTERM)
        signal.pause()
    finally:
        (root / "saved").touch()
"""
    done = subprocess.run([sys.executable, "-c", code, str(tmp_path)])
    assert done.returncode == 143
    assert (tmp_path / "saved").exists()
    [found] = store.client.search_runs([store.experiment_id])
    assert found.info.status == "KILLED"
    assert found.data.metrics["loss"] == 1.0


def test_an_interrupted_run_continues_as_the_same_run(store: Store, lineage):
    with (
        pytest.raises(KeyboardInterrupt),
        training_run(store, "debug", params=PARAMS, lineage=lineage) as run,
    ):
        run.log_metrics({"loss": 2.0}, 1)
        raise KeyboardInterrupt
    assert store.client.get_run(run.id).info.status == "KILLED"

    with training_run(store, "", params=PARAMS, lineage=lineage, run_id=run.id) as again:
        assert store.client.get_run(run.id).info.status == "RUNNING"
        again.log_metrics({"loss": 1.0}, 2)

    assert store.client.get_run(run.id).info.status == "FINISHED"
    steps = [metric.step for metric in store.client.get_metric_history(run.id, "loss")]
    assert steps == [1, 2]
    assert len(store.client.search_runs([store.experiment_id])) == 1


def test_evaluation_logs_into_the_run_and_leaves_its_status(store: Store, lineage):
    with training_run(store, "debug", params=PARAMS, lineage=lineage) as run:
        pass
    ended = store.client.get_run(run.id).info.end_time
    with pytest.raises(RuntimeError), resume_run(store, run.id) as evaluation:
        evaluation.log_metrics({"speech/wer": 0.2})
        raise RuntimeError
    found = store.client.get_run(run.id)
    assert found.data.metrics["speech/wer"] == 0.2
    assert (found.info.status, found.info.end_time) == ("FINISHED", ended)


def test_a_run_of_another_machine_gets_one_stand_in(store: Store):
    elsewhere = "0123456789abcdef0123456789abcdef"
    for metrics in ({"text/accuracy": 0.4}, {"speech/wer": 0.2}):
        with resume_run(store, elsewhere) as run:
            run.log_metrics(metrics)
    [found] = store.client.search_runs([store.experiment_id])
    assert found.data.metrics == {"text/accuracy": 0.4, "speech/wer": 0.2}
    assert found.data.tags[runs.RESTORED_FROM] == elsewhere


def test_runs_of_a_sweep_are_nested(store: Store, lineage):
    with (
        training_run(store, "sweep", params={}, lineage=lineage) as sweep,
        training_run(store, "trial", params={}, lineage=lineage, parent=sweep.id) as trial,
    ):
        pass
    assert store.client.get_run(trial.id).data.tags["mlflow.parentRunId"] == sweep.id


def test_a_training_inside_dvc_finds_its_parent_in_the_environment(
    store: Store, lineage, monkeypatch
):
    sweep = store.client.create_run(store.experiment_id, run_name="sweep").info.run_id
    monkeypatch.setenv(runs.PARENT_VARIABLE, sweep)
    with training_run(store, "trial", params=PARAMS, lineage=lineage) as trial:
        pass
    with resume_run(store, trial.id) as evaluation:  # logs into the nested run, not its parent
        evaluation.log_metrics({"speech/wer": 0.2})
    found = store.client.get_run(trial.id)
    assert found.data.tags["mlflow.parentRunId"] == sweep
    assert found.data.metrics == {"speech/wer": 0.2}
    assert store.client.get_run(sweep).data.metrics == {}


@pytest.mark.parametrize(
    ("learning_rate", "shown"),
    [(6e-4, "lr6e-4"), (1.25e-3, "lr1.25e-3"), (1e-5, "lr1e-5"), (1.0, "lr1e0")],
)
def test_run_name(learning_rate: float, shown: str):
    name = run_name("embedded", "lower_layers:12", learning_rate, "1a2b3c4d")
    assert name == f"embedded lower_layers:12 {shown} 1a2b3c"
