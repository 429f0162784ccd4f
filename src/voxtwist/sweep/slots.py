"""Which trials are still to run: a study of N trials has N slots, each of which ends once.

A trial whose worker died is told as failed, and its slot is queued again with the same settings.
"""

import logging
import threading
import time
from collections.abc import Callable

import optuna
from optuna.trial import FrozenTrial, TrialState

from voxtwist.process import Process
from voxtwist.sweep.space import Space, Values

log = logging.getLogger(__name__)

SLOT = "slot"
LOST = "lost"  # why a trial is no result: its worker ended, or its slot was taken twice
REASON = "reason"  # why a result is a failure
DEATH = "its worker died"
DEATHS = 3  # of a slot, after which its trial counts as failed

OWNER, BEAT = "owner", "beat"
EVERY = 60.0  # seconds between two signs of life
SILENCE = 600.0  # seconds without one, after which a worker of another machine is dead

OnDeath = Callable[[FrozenTrial], None]


def results(study: optuna.Study) -> dict[int, FrozenTrial]:
    """Finished trials by slot: complete, pruned or failed, and not those whose worker died."""
    return {
        trial.user_attrs[SLOT]: trial
        for trial in study.get_trials(deepcopy=False)
        if trial.state.is_finished() and LOST not in trial.user_attrs
    }


def fill(study: optuna.Study, trials: int, first: Values, on_death: OnDeath) -> None:
    """Queue a trial for every slot of 0 to `trials` that has neither a result nor a trial.

    Args:
        first: settings of slot 0; empty: the sampler's.
        on_death: called with a trial whose worker is found dead.
    """
    for trial in study.get_trials(deepcopy=False, states=(TrialState.RUNNING,)):
        if is_dead(trial):
            log.warning("trial %d: its worker died, it is run again", trial.number)
            on_death(trial)
            bury(study, trial)
    everything = study.get_trials(deepcopy=False)
    taken = {trial.user_attrs.get(SLOT) for trial in everything if LOST not in trial.user_attrs}
    for slot in sorted(set(range(trials)) - taken):
        lost = [trial.params for trial in everything if trial.user_attrs.get(SLOT) == slot]
        settings = lost[-1] if lost else first if slot == 0 else {}
        study.enqueue_trial(settings, user_attrs={SLOT: slot})


def put_back(study: optuna.Study, trial: optuna.Trial) -> None:
    """End a trial of this process, which was asked to stop: its slot is queued again."""
    _fail(study, trial, LOST, "its worker was stopped")


def bury(study: optuna.Study, trial: FrozenTrial) -> None:
    """End a trial whose worker died; the third death in a slot is the slot's result."""
    slot = trial.user_attrs.get(SLOT)
    deaths = sum(
        other.user_attrs.get(SLOT) == slot and other.user_attrs.get(LOST) == DEATH
        for other in study.get_trials(deepcopy=False)
    )
    if deaths + 1 < DEATHS:
        _fail(study, trial, LOST, DEATH)
    else:
        _fail(study, trial, REASON, f"{DEATH} {DEATHS} times")


def _fail(study: optuna.Study, trial: FrozenTrial | optuna.Trial, name: str, why: str) -> None:
    # Optuna has no public way to write into a trial that another process has started.
    study._storage.set_trial_user_attr(trial._trial_id, name, why)
    study.tell(trial.number, state=TrialState.FAIL, skip_if_finished=True)


def claim(study: optuna.Study, space: Space) -> optuna.Trial | None:
    """The next queued trial, signed as this process's; None when nothing is queued.

    Workers of one machine call it one at a time, under a lock. Where workers of two machines took
    or queued the same slot at once, the later trial steps back.
    """
    while study.get_trials(deepcopy=False, states=(TrialState.WAITING,)):
        trial = study.ask(space.distributions)
        own(trial)
        if not _is_taken(study, trial):
            return trial
        _fail(study, trial, LOST, "its slot was taken twice")
    return None


def _is_taken(study: optuna.Study, trial: optuna.Trial) -> bool:
    if SLOT not in trial.user_attrs:  # the queue was empty when it was asked
        return True
    return any(
        other.user_attrs.get(SLOT) == trial.user_attrs[SLOT]
        for other in study.get_trials(deepcopy=False)
        if other.number < trial.number and LOST not in other.user_attrs
    )


def own(trial: optuna.Trial) -> None:
    """Sign a trial as this process's."""
    process = Process.current()
    trial.set_user_attr(OWNER, [process.host, process.pid, process.started])
    trial.set_user_attr(BEAT, time.time())


def is_dead(trial: FrozenTrial) -> bool:
    """Whether a trial marked as running has lost its worker.

    On this machine its process is looked for, on others the last sign of life counts.
    """
    if OWNER in trial.user_attrs:
        owner = Process(*trial.user_attrs[OWNER])
        if owner.is_here:
            return not owner.is_alive()
    started = trial.datetime_start.timestamp() if trial.datetime_start else 0.0
    return time.time() - trial.user_attrs.get(BEAT, started) > SILENCE


class Heartbeat:
    """Gives signs of life for a trial inside a `with`, for workers of other machines."""

    def __init__(self, trial: optuna.Trial) -> None:
        self._trial, self._over = trial, threading.Event()
        self._thread = threading.Thread(target=self._beat, daemon=True, name="Heartbeat")

    def __enter__(self) -> "Heartbeat":
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._over.set()
        self._thread.join()

    def _beat(self) -> None:
        while not self._over.wait(EVERY):
            self._trial.set_user_attr(BEAT, time.time())
