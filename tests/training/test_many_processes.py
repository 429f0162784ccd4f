"""Two processes, copies or shards of the model, train what one trains."""

import signal

import numpy as np
import pytest
from safetensors.numpy import load_file

pytestmark = pytest.mark.slow

# Without GPUs both start processes that meet by gloo.
COPIES = "--multi_gpu --num_processes 2 --num_machines 1 --mixed_precision no"
SHARDS = "--use_fsdp --fsdp_version 2 --num_processes 2 --num_machines 1 --mixed_precision no"
FREE_PORT = " --main_process_port 0"


@pytest.fixture(params=[COPIES, SHARDS], ids=["DDP", "FSDP2"])
def launch(request) -> str:
    return request.param + FREE_PORT


def assert_same_training(many, one, devices=2):
    assert many.report()["devices"] == devices
    assert many.report()["tokens"] == one.report()["tokens"]
    for metric in ("train/loss", "train/gradient_norm", "eval/loss_speech", "eval/loss_text"):
        steps, losses = zip(*one.history(metric), strict=True)
        other_steps, other_losses = zip(*many.history(metric), strict=True)
        assert other_steps == steps
        # Sums in another order: the differences grow with the steps.
        assert other_losses == pytest.approx(losses, rel=2e-3)
    assert len(many.client().search_runs(["1"])) == 1
    expected = load_file(one.folder / "checkpoints" / "last" / "model.safetensors")
    found = load_file(many.folder / "checkpoints" / "last" / "model.safetensors")
    assert {k: v.shape for k, v in found.items()} == {k: v.shape for k, v in expected.items()}
    for name, weight in expected.items():
        np.testing.assert_allclose(found[name], weight, atol=5e-3)


def test_two_processes_have_the_curve_of_one_at_the_same_global_batch(project, launch):
    one, two = project("one"), project("two")
    assert one.train().returncode == 0
    done = two.train(VOXTWIST_LAUNCH=launch)
    assert done.returncode == 0, done.stderr[-3000:]
    assert_same_training(two, one)


def test_stopped_and_killed_shards_go_on_sharded_and_on_one_device(project):
    one, two = project("one"), project("two")
    shards = {"VOXTWIST_LAUNCH": SHARDS + FREE_PORT}
    assert one.train().returncode == 0
    done = two.train_until(signal.SIGTERM, 2, **shards)
    assert done.returncode == 75
    assert done.stderr.count("stopped after step 2") == 1
    assert two.train_until(signal.SIGKILL, 7, **shards).returncode == 1  # behind the state of 6
    two.change(max_hours=1e-9)
    assert two.train(**shards).returncode == 75
    assert two.train().returncode == 75  # one device goes on from the state that two have saved
    two.change(max_hours=None)
    assert two.train(**shards).returncode == 0
    assert_same_training(two, one)


@pytest.mark.parametrize("step_tokens", [None, 512])
@pytest.mark.parametrize("devices", [(1, 2, 1), (4, 2), (2, 4)], ids=str)
def test_a_training_that_changes_its_devices_is_the_training_of_one(project, devices, step_tokens):
    one, many = project("one"), project("many")
    for made in (one, many):
        made.change(step_tokens=step_tokens, epochs=2, eval_steps=4)
    assert one.train().returncode == 0
    for number, count in enumerate(devices, start=1):
        copies = COPIES.replace("2", str(count), 1) + FREE_PORT
        launch = {} if count == 1 else {"VOXTWIST_LAUNCH": copies}
        if number < len(devices):  # the first stop comes before the first evaluation
            done = many.train_until(signal.SIGTERM, number, **launch)
            assert done.returncode == 75, done.stderr[-3000:]
        else:
            done = many.train(**launch)
            assert done.returncode == 0, done.stderr[-3000:]
    assert_same_training(many, one, devices[-1])
    assert many.history("train/learning_rate") == one.history("train/learning_rate")
