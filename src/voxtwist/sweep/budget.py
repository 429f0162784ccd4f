"""How long a trial trains."""

from voxtwist.params import Sweep, Train


def within_budget(settings: Train, sweep: Sweep) -> Train:
    """`train` cut down to the smallest of the budgets that `sweep` names, schedule included.

    `max_tokens` becomes steps of as many tokens as the settings take at once. `max_minutes` ends a
    training wherever it is: its learning rate has not come down by then.
    """
    limits = [settings.max_steps, sweep.max_steps]
    if sweep.max_tokens is not None:
        per_step = settings.step_tokens or settings.batch_tokens
        limits.append(max(1, round(sweep.max_tokens / per_step)))
    return settings.model_copy(
        update={
            "max_steps": min((limit for limit in limits if limit), default=None),
            "max_hours": sweep.max_minutes and sweep.max_minutes / 60,
            "eval_steps": sweep.eval_steps,
            "eval_samples": sweep.eval_samples,
        }
    )
