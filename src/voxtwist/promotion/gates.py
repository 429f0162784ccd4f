"""The gates between a version and an alias: each measures one thing, and passes or refuses.

Comparisons with the champion are tests of non-inferiority: a gate passes only when the data refute
that the version is worse by the margin or more. Few questions and noisy speech refute little: a
small margin needs many of them.
"""

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import Any

from voxtwist.errors import VoxtwistError
from voxtwist.evaluation.statistics import NonInferiority, mean, not_worse
from voxtwist.evaluation.text.table import Row, pair_answers
from voxtwist.params import Promotion
from voxtwist.promotion.evidence import Evidence, Lock

_ALONE = "no champion to compare with"


@dataclass(frozen=True)
class Gate:
    """One line of the table.

    Attributes:
        measured, required: in words and numbers.
        passed: None when there is nothing to compare with.
    """

    name: str
    measured: str
    required: str
    passed: bool | None

    def as_dict(self) -> dict[str, Any]:
        return asdict(self)


def all_gates(
    candidate: Evidence, champion: Evidence | None, lock: Lock, settings: Promotion
) -> list[Gate]:
    """Every gate, in the order they are shown."""
    return [
        *(text_gate(candidate, champion, name, settings) for name in settings.text_metrics),
        wer_gate(candidate, champion, settings),
        share_gate(candidate, "well_formed", "at least", settings.min_well_formed, settings),
        share_gate(candidate, "runaway", "at most", settings.max_runaway, settings),
        overlap_gate(candidate, settings),
        clean_tree_gate(candidate),
        lock_gate(candidate, lock),
    ]


def text_gate(
    candidate: Evidence, champion: Evidence | None, metric: str, settings: Promotion
) -> Gate:
    """Share of right answers, question by question against the champion's."""
    name, required = f"text {metric}", _required(settings.text_margin, settings.alpha)
    if candidate.questions is None:
        return _missing(name, "text/questions.jsonl", candidate, required)
    if champion is not None and champion.questions is None:
        return _missing(name, "text/questions.jsonl", champion, required)
    earlier = champion.questions if champion and champion.questions else candidate.questions
    try:
        pairs = pair_answers(earlier, candidate.questions).get(metric)
    except VoxtwistError as error:
        return Gate(name, str(error), required, False)
    if pairs is None:
        measured = f"nothing was measured as {metric}: see promotion.text_metrics"
        return Gate(name, measured, required, False)
    if champion is None:
        share = mean([value for _, value in pairs], settings.bootstrap)
        measured = f"{share.value:.1%} ({share.n} questions); {_ALONE}"
        return Gate(name, measured, required, None)
    ones = [1.0] * len(pairs)
    test = not_worse(
        ([1 - before for before, _ in pairs], ones),
        ([1 - after for _, after in pairs], ones),
        margin=settings.text_margin,
        alpha=settings.alpha,
        resamples=settings.bootstrap,
        paired=True,
    )
    measured = (
        f"{1 - test.before:.1%} → {1 - test.after:.1%} "
        f"({-test.difference:+.1%}, at worst {-test.worst:+.1%}; p {test.p_value:.3f}, "
        f"{test.n} questions)"
    )
    return Gate(name, measured, required, test.p_value < settings.alpha)


def wer_gate(candidate: Evidence, champion: Evidence | None, settings: Promotion) -> Gate:
    """Word error rate of held-out answers, all parts of the corpus together."""
    name, required = "WER, held out", _required(settings.wer_margin, settings.alpha)
    if not candidate.answers:
        return _missing(name, "speech/samples.jsonl", candidate, required)
    if champion is None:
        errors, lengths = _words(candidate.answers)
        measured = f"{sum(errors) / sum(lengths):.1%} ({len(errors)} answers); {_ALONE}"
        return Gate(name, measured, required, None)
    if not champion.answers:
        return _missing(name, "speech/samples.jsonl", champion, required)
    before, after = _by_question(champion.answers), _by_question(candidate.answers)
    paired = before.keys() == after.keys()
    order = sorted(after)
    test = not_worse(
        _words([before[key] for key in (order if paired else before)]),
        _words([after[key] for key in order]),
        margin=settings.wer_margin,
        alpha=settings.alpha,
        resamples=settings.bootstrap,
        paired=paired,
    )
    return Gate(name, _measured_wer(test, paired), required, test.p_value < settings.alpha)


def share_gate(
    candidate: Evidence, column: str, bound: str, limit: float, settings: Promotion
) -> Gate:
    """Share of held-out answers for which a yes-or-no column says yes."""
    name, required = column.replace("_", " "), f"{bound} {limit:.1%}"
    if not candidate.answers:
        return _missing(name, "speech/samples.jsonl", candidate, required)
    share = mean([row[column] for row in candidate.answers], settings.bootstrap)
    measured = f"{share.value:.1%} ({share.low:.1%} – {share.high:.1%}; {share.n} answers)"
    passed = share.value >= limit if bound == "at least" else share.value <= limit
    return Gate(name, measured, required, passed)


def overlap_gate(candidate: Evidence, settings: Promotion) -> Gate:
    name, required = "no train/eval overlap", "0 eval rows in training"
    if candidate.overlap is None:
        return _missing(name, "overlap in lineage/split.json", candidate, required)
    shared = {column: candidate.overlap[column] for column in settings.no_overlap}
    measured = ", ".join(f"{count} by {column}" for column, count in shared.items()) or "not asked"
    return Gate(name, measured, required, not any(shared.values()))


def clean_tree_gate(candidate: Evidence) -> Gate:
    """Trained from committed code; settings may differ from the commit's, the run records them."""
    commit, dirty = (candidate.tags.get(f"git.{name}", "none") for name in ("commit", "dirty"))
    clean = dirty == "false" and commit != "none"
    state = "clean" if clean else "dirty" if dirty == "true" else "unknown"
    measured = f"{state} at {commit[:10]}" if commit != "none" else "no commit"
    return Gate("clean work tree", measured, "trained from a commit", clean)


def lock_gate(candidate: Evidence, lock: Lock) -> Gate:
    """dvc.lock names this checkpoint, and the code and data that made it are still the ones here.

    Other settings in params.yaml do not matter: the run has its own on record.
    """
    digest = candidate.tags.get("md5.checkpoint", "none")[:10]
    if lock.made_by is None:
        measured = (
            f"dvc.lock does not name the checkpoint {digest}: check out the commit or the "
            "experiment (`dvc exp apply`) that made it"
        )
    elif lock.changed:
        measured = f"changed since: {', '.join(lock.changed)}: run `dvc repro`, or undo it"
    else:
        return Gate("lock fresh", f"names {digest}, by {lock.made_by}", "up to date", True)
    return Gate("lock fresh", measured, "up to date", False)


def _required(margin: float, alpha: float) -> str:
    return f"not worse by {margin:.1%} (p < {alpha:g})"


def _missing(name: str, artifact: str, evidence: Evidence, required: str) -> Gate:
    where = f"version {evidence.version} (run {evidence.run_id[:8]})"
    return Gate(name, f"{where} has no {artifact}: evaluate and register it", required, False)


def _by_question(answers: Sequence[Row]) -> dict[tuple[str, str], Row]:
    return {(row["part"], row["question"]): row for row in answers}


def _words(answers: Sequence[Row]) -> tuple[list[int], list[int]]:
    counts = [row["words"] for row in answers]
    return [count["errors"] for count in counts], [count["length"] for count in counts]


def _measured_wer(test: NonInferiority, paired: bool) -> str:
    pairing = "in pairs" if paired else "other questions than the champion's"
    return (
        f"{test.before:.1%} → {test.after:.1%} ({test.difference:+.1%}, at worst "
        f"{test.worst:+.1%}; p {test.p_value:.3f}, {test.n} answers, {pairing})"
    )
