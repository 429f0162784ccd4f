"""Results on the logged model, found by MLflow's own search."""

from pathlib import Path

from voxtwist.tracking.logged_model import log_model_metrics
from voxtwist.tracking.runs import resume_run
from voxtwist.tracking.store import open_store


def test_models_are_found_by_results_on_a_data_set(tmp_path: Path) -> None:
    store = open_store(tmp_path, "tests")
    ids = {}
    for name, accuracy in (("better", 0.8), ("worse", 0.2)):
        run_id = store.client.create_run(store.experiment_id, run_name=name).info.run_id
        with resume_run(store, run_id) as run:
            ids[name] = log_model_metrics(run, "sft", {"text/acc": accuracy}, "trivia", "abc1")
            again = log_model_metrics(run, "sft", {"speech/wer (%)": 3.0}, "eval", "def2")
        assert again == ids[name]  # one model a run
        assert store.client.get_run(run_id).data.metrics["text/acc"] == accuracy

    def found(metric: str, dataset: str, digest: str) -> set[str]:
        models = store.client.search_logged_models(
            [store.experiment_id],
            metric,
            datasets=[{"dataset_name": dataset, "dataset_digest": digest}],
        )
        return {model.model_id for model in models}

    assert found("metrics.`text/acc` > 0.5", "trivia", "abc1") == {ids["better"]}
    assert found("metrics.`text/acc` > 0.1", "trivia", "abc1") == set(ids.values())
    assert found("metrics.`text/acc` > 0.1", "trivia", "of other questions") == set()
    assert found("metrics.`speech/wer ___` > 1", "eval", "def2") == set(ids.values())
