"""Rollback: the last promotion is undone, and the ledger says so."""

from pathlib import Path

from voxtwist.errors import VoxtwistError
from voxtwist.promotion import ledger
from voxtwist.tracking.registry import alias_version, number
from voxtwist.tracking.store import Store
from voxtwist.vcs import git_user


def rollback(store: Store, root: Path, model: str) -> ledger.Entry:
    """Point the alias of the last promotion back to where it pointed before.

    A second rollback undoes the promotion before that one.

    Raises:
        VoxtwistError: nothing is left to undo, or the alias was moved by other means since.
    """
    file = root / ledger.LEDGER
    last = ledger.last_promotion(ledger.read(file), model)
    if last is None:
        raise VoxtwistError(f"{file} has no promotion of {model!r} that could be undone")
    present = alias_version(store, model, last.alias)
    points_at = number(present) if present else None
    if points_at != last.after:
        raise VoxtwistError(
            f"{model}@{last.alias} points at version {points_at}, not at {last.after} as the "
            f"ledger says: somebody moved it without `voxtwist promote`. Promote what shall stand"
        )
    entry = ledger.Entry(
        action="rollback",
        who=git_user(root),
        when=ledger.now(),
        model=model,
        alias=last.alias,
        before=last.after,
        after=last.before,
        undoes=last.when,
    )
    if last.before is None:
        store.client.delete_registered_model_alias(model, last.alias)
    else:
        store.client.set_registered_model_alias(model, last.alias, last.before)
    tag = f"promotion.{last.alias}.rolled_back"
    store.client.set_model_version_tag(model, str(last.after), tag, f"{entry.when} by {entry.who}")
    ledger.append(file, entry)
    return entry
