"""Every slot of a study ends exactly once, whatever happens to workers."""

import platform
import time
from types import SimpleNamespace

import optuna
import pytest
from optuna.distributions import FloatDistribution
from optuna.trial import TrialState

from voxtwist.sweep import slots
from voxtwist.sweep.slots import LOST, REASON, SLOT, claim, fill, put_back, results

optuna.logging.set_verbosity(optuna.logging.WARNING)


SPACE = SimpleNamespace(distributions={"x": FloatDistribution(0, 1)})


@pytest.fixture
def study():
    return optuna.create_study(sampler=optuna.samplers.RandomSampler(seed=0))


def refill(study, trials, first=None, died=None):
    fill(study, trials, first or {}, (died if died is not None else []).append)


def abandon(trial):
    """As if its worker had died: no process has the id of the one that runs it."""
    mine = trial.user_attrs[slots.OWNER]
    trial.set_user_attr(slots.OWNER, [mine[0], 2**22 + 1, mine[2]])


def test_slots_are_filled_once_and_more_of_them_come_behind(study):
    refill(study, 3, first={"x": 0.25})
    refill(study, 3)
    seen = []
    while trial := claim(study, SPACE):
        seen.append(trial.params["x"])
        study.tell(trial, 1.0)
    assert len(seen) == 3
    assert seen[0] == 0.25
    assert len(set(seen)) == 3
    refill(study, 5)
    assert len(study.get_trials(states=(TrialState.WAITING,))) == 2
    assert sorted(results(study)) == [0, 1, 2]


def test_a_dead_worker_s_trial_is_run_again_with_its_settings(study):
    refill(study, 2)
    dead = claim(study, SPACE)
    alive = claim(study, SPACE)
    abandon(dead)
    died = []
    refill(study, 2, died=died)
    refill(study, 2, died=died)
    assert [trial.number for trial in died] == [dead.number]
    again = claim(study, SPACE)
    assert again.params == dead.params
    assert again.user_attrs[SLOT] == dead.user_attrs[SLOT]
    assert claim(study, SPACE) is None  # the other one still runs
    study.tell(again, 1.0)
    study.tell(alive, 1.0)
    assert {slot: trial.number for slot, trial in results(study).items()} == {
        dead.user_attrs[SLOT]: again.number,
        alive.user_attrs[SLOT]: alive.number,
    }


def test_the_third_death_is_the_result(study):
    refill(study, 1)
    for _ in range(3):
        abandon(claim(study, SPACE))
        refill(study, 1)
    assert claim(study, SPACE) is None
    [trial] = results(study).values()
    assert trial.state == TrialState.FAIL
    assert trial.user_attrs[REASON] == "its worker died 3 times"


def test_being_stopped_often_is_no_failure(study):
    refill(study, 1)
    for _ in range(4):
        put_back(study, claim(study, SPACE))
        refill(study, 1)
    study.tell(claim(study, SPACE), 1.0)
    assert [trial.state for trial in results(study).values()] == [TrialState.COMPLETE]


def test_of_a_slot_that_two_machines_queued_the_later_trial_steps_back(study):
    refill(study, 1)
    study.enqueue_trial({}, user_attrs={SLOT: 0})
    trial = claim(study, SPACE)
    assert claim(study, SPACE) is None
    study.tell(trial, 1.0)
    refill(study, 1)
    assert [t.number for t in results(study).values()] == [trial.number]
    assert [LOST in t.user_attrs for t in study.trials] == [False, True]


def test_a_worker_of_another_machine_is_dead_after_a_long_silence(study):
    refill(study, 1)
    trial = claim(study, SPACE)

    def seen(node, seconds):
        trial.set_user_attr(slots.OWNER, [node, 2**22 + 1, 0.0])
        trial.set_user_attr(slots.BEAT, time.time() - seconds)
        return slots.is_dead(study.trials[0])

    assert not seen("elsewhere", slots.SILENCE / 2)
    assert seen("elsewhere", slots.SILENCE * 2)
    assert seen(platform.node(), 0)
    slots.own(trial)
    assert not slots.is_dead(study.trials[0])
