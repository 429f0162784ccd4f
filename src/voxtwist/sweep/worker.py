"""A worker process of a sweep: `python -m voxtwist.sweep.worker JOB`, one trial after the other."""

import logging
import sys
from pathlib import Path

import optuna
from filelock import FileLock
from optuna.trial import TrialState

from voxtwist.sweep.job import Job
from voxtwist.sweep.slots import claim, fill
from voxtwist.sweep.study import open_storage, open_study, sampler_of
from voxtwist.sweep.trial import Trials
from voxtwist.terminal import one_line_errors


def work(job: Job) -> None:
    """Run trials until none is queued."""
    study = open_study(open_storage(job.storage), job.study, job.params.sweep)
    trials = Trials(job, study)
    while (trial := next_trial(trials)) is not None:
        trials.run(trial)


def next_trial(trials: Trials) -> optuna.Trial | None:
    """Queue what is missing, and claim the first in the queue, with its settings."""
    study, sweep = trials.study, trials.job.params.sweep
    with FileLock(trials.job.lock):
        fill(study, sweep.trials, trials.space.current, trials.tracker.close_dead)
        everything = study.get_trials(deepcopy=False)
        begun = sum(trial.state != TrialState.WAITING for trial in everything)
        study.sampler = sampler_of(sweep, begun)
        return claim(study, trials.space)


if __name__ == "__main__":
    logging.basicConfig(format="%(message)s")
    optuna.logging.set_verbosity(optuna.logging.WARNING)
    with one_line_errors():
        work(Job.read(Path(sys.argv[1])))
