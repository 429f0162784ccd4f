"""Promotion: a version passes the gates, becomes a package, answers, and then an alias moves."""

from collections.abc import Callable
from dataclasses import asdict, dataclass
from pathlib import Path

import orjson
from mlflow.entities.model_registry import ModelVersion

from voxtwist.errors import VoxtwistError
from voxtwist.params import Alias, Promotion
from voxtwist.promotion import ledger
from voxtwist.promotion.evidence import collect_evidence, read_lock
from voxtwist.promotion.gates import Gate, all_gates
from voxtwist.promotion.package import package
from voxtwist.tracking.registry import PACKAGED_FROM, alias_version, number
from voxtwist.tracking.store import Store
from voxtwist.vcs import git_user

CHAMPION: Alias = "champion"
TAG_LIMIT = 5000  # characters that MLflow takes in a tag of a version


@dataclass(frozen=True)
class Assessment:
    """A version before the gates.

    Attributes:
        champion: what it was compared with; None when there is none, or it is the version itself.
    """

    version: ModelVersion
    champion: ModelVersion | None
    gates: list[Gate]

    @property
    def refused(self) -> list[Gate]:
        return [gate for gate in self.gates if gate.passed is False]


def assess(store: Store, root: Path, version: ModelVersion, settings: Promotion) -> Assessment:
    """Put a version before the gates, against the champion of its model. Changes nothing."""
    champion = alias_version(store, version.name, CHAMPION)
    if champion is not None and _origin(champion) == _origin(version):
        champion = None
    gates = all_gates(
        collect_evidence(store, version),
        collect_evidence(store, champion) if champion else None,
        read_lock(root, version.tags.get("md5.checkpoint", "none")),
        settings,
    )
    return Assessment(version, champion, gates)


def promote(
    store: Store,
    root: Path,
    assessment: Assessment,
    alias: Alias,
    override: str | None = None,
    progress: Callable[[str], None] = lambda step: None,
) -> ledger.Entry:
    """Package the version, check that it answers, move the alias, and write it into the ledger.

    Args:
        override: why gates that did not pass are overruled.
        progress: told what is being done.

    Raises:
        VoxtwistError: gates refuse and there is no override, the alias is there already, or the
            package does not answer; then nothing has moved.
    """
    version = assessment.version
    if assessment.refused and not override:
        names = ", ".join(gate.name for gate in assessment.refused)
        raise VoxtwistError(
            f"version {version.version} is not promoted: {names}. Mend it, or state why it shall "
            'be promoted all the same: --override "why"'
        )
    before = alias_version(store, version.name, alias)
    if before is not None and _origin(before) == _origin(version):
        raise VoxtwistError(f"version {version.version} is the {alias} already")
    progress("Packaging, loading and asking")
    made = package(store, root, version)
    entry = ledger.Entry(
        action="promote",
        who=git_user(root),
        when=ledger.now(),
        model=made.name,
        alias=alias,
        before=number(before) if before else None,
        after=number(made),
        candidate=_origin(version),
        run_id=made.run_id,
        commit=made.tags.get("git.commit"),
        gates=[gate.as_dict() for gate in assessment.gates],
        override=override if assessment.refused else None,
    )
    _tag(store, made, entry)
    store.client.set_registered_model_alias(made.name, alias, made.version)
    ledger.append(root / ledger.LEDGER, entry)
    return entry


def _origin(version: ModelVersion) -> str:
    """The number of the version without weights, of which at most one package is made."""
    return version.tags.get(PACKAGED_FROM) or number(version)


def _tag(store: Store, version: ModelVersion, entry: ledger.Entry) -> None:
    """`promotion.ALIAS.*` on the version: the entry, without what the version says already."""
    known = {"action", "model", "alias", "after", "run_id", "commit", "undoes"}
    for name, value in asdict(entry).items():
        if name not in known and value:
            text = value if isinstance(value, str) else orjson.dumps(value).decode()
            tag = f"promotion.{entry.alias}.{name}"
            store.client.set_model_version_tag(version.name, version.version, tag, text[:TAG_LIMIT])


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
