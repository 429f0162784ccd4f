"""What a model knows in text, by lm-eval, with a table of every question for paired comparison."""

import json
import logging
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import pyarrow.parquet as pq

from voxtwist.data.files import rows_path
from voxtwist.data.groups import hash_texts
from voxtwist.errors import VoxtwistError
from voxtwist.evaluation.statistics import PairedComparison, compare_paired

if TYPE_CHECKING:
    from lm_eval.tasks import TaskManager

TASKS = Path(__file__).parent / "tasks"
BUNDLED = {"trivia"}
QUESTIONS = "questions.jsonl"
Row = dict[str, Any]
_DETAILS = ("configs", "versions", "n-shot", "config", "lm_eval_version", "transformers_version")


@dataclass(frozen=True)
class TextResults:
    """Results of one checkpoint.

    Attributes:
        metrics: by lm-eval's names, "trivia/acc" and "trivia/acc_stderr"; "…/n" questions; and
            "…/leaked_mass", the mean probability of speech tokens where text answers are scored.
        questions: one row a question: task, doc_id, doc_hash, question, prompt, target, response,
            and the task's metrics.
        details: of every suite, what lm-eval says of its tasks, versions and seeds.
    """

    metrics: dict[str, float]
    questions: list[Row]
    details: dict[str, Any]


def evaluate_text(
    checkpoint: Path,
    suites: Sequence[str],
    *,
    limit: int | None,
    batch_size: int,
    mask_speech: bool = False,
    device: str | None = None,
) -> TextResults:
    """Run lm-eval's suites on a checkpoint.

    Multiple choice is scored by the likelihood of each answer after the task's plain prompt, which
    is as fair to a model that never saw the chat format as to one trained on it; generative tasks
    are asked through the chat template.

    Args:
        suites: "trivia", or names of lm-eval's tasks and groups, whose data come from the hub.
        limit: questions a task; None takes all.
        mask_speech: see `UnitLM`.

    Raises:
        VoxtwistError: no checkpoint there, or an unknown suite.
    """
    import torch
    from lm_eval import simple_evaluate
    from lm_eval.tasks import TaskManager

    from voxtwist.evaluation.unitlm import UnitLM

    if not (checkpoint / "config.json").exists():
        raise VoxtwistError(f"{checkpoint} holds no checkpoint: config.json is missing")
    logging.getLogger("lm_eval").setLevel(logging.ERROR)
    manager = TaskManager(include_defaults=not BUNDLED.issuperset(suites), include_path=str(TASKS))
    model = UnitLM(
        str(checkpoint),
        mask_speech=mask_speech,
        batch_size=batch_size,
        device=device or ("cuda" if torch.cuda.is_available() else "cpu"),
    )
    metrics: dict[str, float] = {}
    questions: list[Row] = []
    details: dict[str, Any] = {}
    for suite in suites:
        tasks, generative = _load(manager, suite)
        model.reset_leaked_mass()
        results = simple_evaluate(
            model, tasks=tasks, task_manager=manager, limit=limit, apply_chat_template=generative
        )
        metrics |= _flat(results)
        if not generative:
            metrics[f"{suite}/leaked_mass"] = model.leaked_mass
        for task, samples in results["samples"].items():
            questions += [_question(task, sample) for sample in samples]
        details[suite] = {name: results[name] for name in _DETAILS}
    return TextResults(metrics, questions, details)


def compare_text(
    before: Sequence[Row], after: Sequence[Row], resamples: int
) -> dict[str, PairedComparison]:
    """Compare two tables of the same questions: one comparison for each "task/metric".

    Raises:
        VoxtwistError: the tables do not hold the same questions.
    """
    earlier = {_key(row): row for row in before}
    if earlier.keys() != {_key(row) for row in after}:
        raise VoxtwistError(
            "the two models were not asked the same questions: run evaluate_text on both with the "
            "same suites and limit"
        )
    pairs: dict[str, list[tuple[bool, bool]]] = {}
    for row in after:
        for name, value in row["metrics"].items():
            pair = (bool(earlier[_key(row)]["metrics"][name]), bool(value))
            pairs.setdefault(f"{row['task']}/{name}", []).append(pair)
    return {
        name: compare_paired([b for b, _ in rows], [a for _, a in rows], resamples)
        for name, rows in pairs.items()
    }


def refuse_trained(questions: Sequence[Row], split: Path) -> None:
    """Make sure that no question was trained on.

    Args:
        split: the training split, SFT JSONL with its table of rows beside it.

    Raises:
        VoxtwistError: one was.
    """
    trained = hash_texts(pq.read_table(rows_path(split), columns=["question"])[0].to_pylist())
    asked = hash_texts(row["question"] for row in questions)
    for row, known in zip(questions, np.isin(asked, trained), strict=True):
        if known:
            raise VoxtwistError(
                f"the suite {row['task']} asks {row['question']!r}, which is also in {split}: "
                "leave it out of the training data"
            )


def write_results(folder: Path, results: TextResults) -> None:
    """questions.jsonl and details.json."""
    folder.mkdir(parents=True, exist_ok=True)
    lines = (json.dumps(row, ensure_ascii=False) + "\n" for row in results.questions)
    (folder / QUESTIONS).write_text("".join(lines), encoding="utf-8")
    details = json.dumps(results.details, indent=2, default=str, ensure_ascii=False)
    (folder / "details.json").write_text(details + "\n", encoding="utf-8")


def read_questions(folder: Path) -> list[Row]:
    """The table of questions that `write_results` wrote.

    Raises:
        VoxtwistError: it is not there.
    """
    path = folder / QUESTIONS
    if not path.exists():
        raise VoxtwistError(f"{path} is missing: run evaluate_text on the earlier checkpoint first")
    return [json.loads(line) for line in path.read_text(encoding="utf-8").splitlines()]


def _load(manager: "TaskManager", suite: str) -> tuple[list[Any], bool]:
    """The suite's task or group, and whether its answers are generated."""
    if suite not in manager.all_tasks:
        raise VoxtwistError(
            f"evaluate_text.suites names {suite!r}, which lm-eval does not know: "
            "`voxtwist lm-eval ls tasks` lists what there is"
        )
    loaded = manager.load(suite)
    tasks = list(loaded["tasks"].values())
    group = loaded["groups"].get(suite)
    generative = any(task.OUTPUT_TYPE == "generate_until" for task in tasks)
    return ([group] if group else tasks), generative


def _flat(results: Any) -> dict[str, float]:
    """lm-eval's {"trivia": {"acc,none": 0.5}} as {"trivia/acc": 0.5}; filters keep their name."""
    flat: dict[str, float] = {}
    for task, figures in results["results"].items():
        for name, value in figures.items():
            metric, comma, answer_filter = name.partition(",")
            if comma and isinstance(value, float):
                suffix = "" if answer_filter == "none" else f"/{answer_filter}"
                flat[f"{task}/{metric}{suffix}"] = value
        if task in results["n-samples"]:
            flat[f"{task}/n"] = results["n-samples"][task]["effective"]
    return flat


def _question(task: str, sample: Row) -> Row:
    suffix = "" if sample["filter"] == "none" else f"/{sample['filter']}"
    return {
        "task": task,
        "doc_id": sample["doc_id"],
        "doc_hash": sample["doc_hash"],
        "question": sample["doc"].get("question", sample["arguments"][0][0]),
        "prompt": sample["arguments"][0][0],
        "target": sample["target"],
        "response": sample["filtered_resps"],
        "metrics": {f"{name}{suffix}": float(sample[name]) for name in sample["metrics"]},
    }


def _key(row: Row) -> tuple[str, int, str, str]:
    return row["task"], row["doc_id"], row["doc_hash"], min(row["metrics"])
