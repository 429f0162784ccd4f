"""Two processes train what one trains."""

import pytest


@pytest.mark.slow
def test_two_processes_have_the_curve_of_one_at_the_same_global_batch(project):
    one, two = project("one"), project("two")
    assert one.train().returncode == 0
    done = two.train(
        VOXTWIST_LAUNCH="--cpu --num_processes 2 --num_machines 1 --mixed_precision no"
    )
    assert done.returncode == 0, done.stderr[-3000:]
    for metric in ("train/loss", "train/gradient_norm", "eval/loss_speech", "eval/loss_text"):
        steps, losses = zip(*one.history(metric), strict=True)
        other_steps, other_losses = zip(*two.history(metric), strict=True)
        assert other_steps == steps
        # Sums in another order: the differences grow with the steps.
        assert other_losses == pytest.approx(losses, rel=2e-3)
    assert two.report()["tokens"] == one.report()["tokens"]
    assert len(two.client().search_runs(["1"])) == 1
