"""A worker process of a sweep: `python -m voxtwist.sweep.worker JOB`, one trial after the other."""

import logging
import sys
from pathlib import Path

import optuna
from filelock import FileLock

from voxtwist.cli.errors import one_line_errors
from voxtwist.sweep.job import Job
from voxtwist.sweep.slots import claim, fill
from voxtwist.sweep.study import open_storage, open_study, sampler_of
from voxtwist.sweep.trial import Trials


def work(job: Job) -> None:
    """Run trials until none is queued."""
    sweep = job.params.sweep
    study = open_study(open_storage(job.storage), job.study, sweep)
    trials = Trials(job, study)

    def next_trial() -> optuna.Trial | None:
        with FileLock(job.lock):
            fill(study, sweep.trials, trials.space.current, trials.tracker.close_dead)
            waiting = optuna.trial.TrialState.WAITING
            begun = sum(t.state != waiting for t in study.get_trials(deepcopy=False))
            study.sampler = sampler_of(sweep, begun)
            return claim(study, trials.space)

    while (trial := next_trial()) is not None:
        trials.run(trial)


if __name__ == "__main__":
    logging.basicConfig(format="%(message)s")
    optuna.logging.set_verbosity(optuna.logging.WARNING)
    with one_line_errors():
        work(Job.read(Path(sys.argv[1])))
