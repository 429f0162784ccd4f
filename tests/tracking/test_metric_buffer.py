import math

from mlflow import MlflowClient
from mlflow.exceptions import MlflowException

from voxtwist.tracking.metric_buffer import MetricBuffer


class FlakyClient:
    """A client whose server is down until `up` is set."""

    def __init__(self, client: MlflowClient) -> None:
        self.client, self.up = client, False

    def log_batch(self, run_id, metrics):
        self.refuse_while_down()
        self.client.log_batch(run_id, metrics=metrics)

    def get_metric_history(self, run_id, name):
        self.refuse_while_down()
        return self.client.get_metric_history(run_id, name)

    def refuse_while_down(self):
        if not self.up:
            raise MlflowException("connection refused")


def test_many_metrics_arrive_in_order_with_their_steps(store, tmp_path):
    run_id = store.client.create_run(store.experiment_id).info.run_id
    buffer = MetricBuffer(store.client, run_id, tmp_path / "spool.json")
    for step in range(2500):
        buffer.add({"train/loss": 1 / (step + 1)}, step)
    buffer.close()

    history = store.client.get_metric_history(run_id, "train/loss")
    assert [metric.step for metric in history] == list(range(2500))
    assert history[1].value == 0.5
    assert not (tmp_path / "spool.json").exists()


def test_characters_that_mlflow_refuses_do_not_lose_the_batch(store, tmp_path):
    run_id = store.client.create_run(store.experiment_id).info.run_id
    buffer = MetricBuffer(store.client, run_id, tmp_path / "spool.json")
    buffer.add({"pass@1 (%)": 3, "eval/wer": math.nan})
    buffer.close()

    logged = store.client.get_run(run_id).data.metrics
    assert logged["pass_1 ___"] == 3
    assert math.isnan(logged["eval/wer"])


def test_a_server_that_comes_back_gets_everything(store, tmp_path):
    run_id = store.client.create_run(store.experiment_id).info.run_id
    client = FlakyClient(store.client)
    buffer = MetricBuffer(client, run_id, tmp_path / "spool.json", interval=0.01)
    buffer.add({"loss": 3.0}, 1)
    while buffer._problem is None:  # until a batch was refused
        pass
    client.up = True
    buffer.add({"loss": 2.0}, 2)
    buffer.close()

    assert [m.value for m in store.client.get_metric_history(run_id, "loss")] == [3.0, 2.0]


def test_what_a_lost_server_did_not_take_is_sent_when_the_run_is_next_opened(store, tmp_path):
    run_id = store.client.create_run(store.experiment_id).info.run_id
    spool = tmp_path / "metrics" / "spool.json"
    buffer = MetricBuffer(FlakyClient(store.client), run_id, spool)
    buffer.add({"loss": 3.0, "accuracy": math.nan}, 7)
    buffer.close()
    assert spool.exists()

    MetricBuffer(store.client, run_id, spool).close()

    [loss] = store.client.get_metric_history(run_id, "loss")
    assert (loss.value, loss.step) == (3.0, 7)
    assert not spool.exists()


def test_steps_taken_again_are_logged_once_and_ask_no_server_while_they_are_taken(store, tmp_path):
    run_id = store.client.create_run(store.experiment_id).info.run_id
    spool = tmp_path / "spool.json"
    first = MetricBuffer(store.client, run_id, spool)
    for step in (1, 2):
        first.add({"loss": 10 - step}, step)
    first.close()
    killed = MetricBuffer(FlakyClient(store.client), run_id, spool)
    killed.add({"loss": 7}, 3)
    killed.keep()  # and is killed before the server takes it

    client = FlakyClient(store.client)
    resumed = MetricBuffer(client, run_id, spool, only_later_steps=True, interval=0.01)
    for step in (2, 3, 4):
        resumed.add({"loss": 10 - step}, step)
    while resumed._problem is None:
        pass
    client.up = True
    resumed.close()

    history = store.client.get_metric_history(run_id, "loss")
    assert [(metric.step, metric.value) for metric in history] == [(1, 9), (2, 8), (3, 7), (4, 6)]
    assert not spool.exists()
