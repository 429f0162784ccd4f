"""What a model knows in text, by lm-eval, with a row for every question."""

import hashlib
import json
import logging
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from importlib.metadata import version
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from voxtwist.errors import VoxtwistError
from voxtwist.evaluation.held_out import trained_hashes
from voxtwist.evaluation.text.table import Row, write_letters, write_questions
from voxtwist.files import write_json

if TYPE_CHECKING:
    from voxtwist.evaluation.text.served import ServedLM
    from voxtwist.evaluation.text.suites import Suite
    from voxtwist.evaluation.text.trained import Trained
    from voxtwist.evaluation.text.unitlm import UnitLM

DETAILS = "details.json"
_SOFTWARE = ("lm_eval", "transformers", "torch", "datasets")
_DETAILS = ("configs", "versions", "n-shot", "n-samples", "config")


@dataclass(frozen=True)
class TextResults:
    """Results of one checkpoint.

    Attributes:
        metrics: by lm-eval's names, "trivia/acc" and "trivia/acc_stderr"; "…/n" questions;
            "…/trained", how many were left out because they are in the training split; and
            "…/leaked_mass", the mean probability of speech tokens where text answers are scored
            or generated.
        questions: one row per question and answer filter, see `text_table`.
        details: what must be the same for two results to be comparable: versions of the software,
            the checkpoint's chat template and prefix, and of every suite its tasks as lm-eval
            describes them, their versions, a whole prompt, the seeds, and the questions left out.
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
    datasets: Path | None = None,
    train: Path | None = None,
    tokenizer: str | None = None,
    mask_speech: bool = False,
    device: str | None = None,
    server: str | None = None,
) -> TextResults:
    """Run suites on a checkpoint, which is loaded once.

    Multiple choice is scored by the likelihood of each answer after the task's plain prompt, which
    is as fair to a model that never saw the chat format as to one trained on it; generative tasks
    are asked through the chat template, and letters are scored behind it, where the model's text
    starts.

    Args:
        suites: "trivia", "mmlu_redux_letters", or names of lm-eval's tasks and groups.
        limit: questions per task; None takes all.
        datasets: see `load_suites`.
        train: the training split: questions that are in it are left out; None where the model was
            trained elsewhere.
        tokenizer: where the checkpoint has none of its own; see `UnitLM`.
        mask_speech: see `UnitLM`.
        server: answers in place of a model loaded here, see `ServedLM`; leaked mass is then not
            measured.

    Raises:
        VoxtwistError: no checkpoint there, an unknown suite or one without its data, a task of
            which every question was trained on, or a server that does not serve the checkpoint or
            is to mask.
    """
    from voxtwist.device import best_device

    if not (checkpoint / "config.json").exists():
        raise VoxtwistError(f"{checkpoint} holds no checkpoint: config.json is missing")
    logging.getLogger("lm_eval").setLevel(logging.ERROR)
    from voxtwist.evaluation.text.suites import load_suites
    from voxtwist.evaluation.text.trained import find_trained
    from voxtwist.evaluation.text.unitlm import UnitLM

    if server and mask_speech:
        raise VoxtwistError("a server's tokens cannot be masked: evaluate without mask_speech")
    loaded = load_suites(suites, datasets)
    hashes = trained_hashes(train) if train else np.array([], dtype=np.uint64)
    left_out = {suite.name: find_trained(suite, hashes) for suite in loaded}
    model: UnitLM | ServedLM
    if server:
        model = _served(server, checkpoint, batch_size)
    else:
        model = UnitLM(
            str(checkpoint),
            tokenizer=tokenizer,
            mask_speech=mask_speech,
            batch_size=batch_size,
            device=device or best_device(),
        )
    metrics: dict[str, float] = {}
    questions: list[Row] = []
    details: dict[str, Any] = {
        "checkpoint": str(checkpoint),
        "server": server,
        "software": {name: version(name) for name in _SOFTWARE},
        "chat_template_sha256": _sha256(model.tokenizer.chat_template),
        "mask_speech": mask_speech,
        "suites": {},
    }
    for suite in loaded:
        if isinstance(model, UnitLM):
            model.reset_leaked_mass()
        trained = left_out[suite.name]
        results = _run(model, suite, trained, limit)
        metrics |= _flat(results)
        metrics[f"{suite.name}/trained"] = float(trained.count)
        if isinstance(model, UnitLM) and model.vocabulary:
            metrics[f"{suite.name}/leaked_mass"] = model.leaked_mass
        groups = suite.groups
        rows = [
            _question(suite.name, task, groups[task], sample)
            for task, samples in results["samples"].items()
            for sample in samples
        ]
        questions += rows
        details["suites"][suite.name] = {name: results[name] for name in _DETAILS} | {
            "asked_as_chat": suite.chat,
            "answer_prefix": model.answer_prefix,
            "first_prompt": rows[0]["prompt"],
            "left_out": trained.as_dict()["which"],
        }
    return TextResults(metrics, questions, details)


def write_results(output: Path, results: TextResults, resamples: int) -> None:
    """questions.jsonl, details.json, and the CSV files of letter-scored suites."""
    write_questions(output, results.questions)
    write_letters(output, results.questions, resamples)
    write_json(json.loads(json.dumps(results.details, default=str)), output / DETAILS)


def _served(url: str, checkpoint: Path, batch_size: int) -> "ServedLM":
    from voxtwist.evaluation.text.served import ServedLM
    from voxtwist.inference.server import Server

    return ServedLM(Server.connect(url, checkpoint), checkpoint, batch_size)


def _run(model: "UnitLM | ServedLM", suite: "Suite", trained: "Trained", limit: int | None) -> Any:
    from lm_eval import simple_evaluate
    from lm_eval.tasks import TaskManager

    from voxtwist.evaluation.text.trained import what_to_ask

    model.answer_prefix = model.text_prefix() if suite.letters else ""
    return simple_evaluate(
        model,
        tasks=suite.top,
        task_manager=TaskManager(include_defaults=False),  # the tasks are loaded already
        limit=None if trained.count else limit,
        samples=what_to_ask(suite, trained, limit) if trained.count else None,
        apply_chat_template=suite.chat,
    )


def _sha256(template: str | None) -> str | None:
    return hashlib.sha256(template.encode()).hexdigest() if template else None


def _flat(results: Any) -> dict[str, float]:
    """lm-eval's {"trivia": {"acc,none": 0.5}} as {"trivia/acc": 0.5}; filters keep their name."""
    flat: dict[str, float] = {}
    for task, figures in [*results["results"].items(), *results.get("groups", {}).items()]:
        for name, value in figures.items():
            metric, comma, answer_filter = name.partition(",")
            if comma and isinstance(value, float):
                flat[f"{task}/{metric}{_suffix(answer_filter)}"] = value
        if "sample_len" in figures:
            flat[f"{task}/n"] = figures["sample_len"]
    return flat


def _question(suite: str, task: str, groups: list[str], sample: Row) -> Row:
    from voxtwist.evaluation.text.suites import question_text

    suffix = _suffix(sample["filter"])
    prompt = sample["arguments"][0][0]
    return {
        "suite": suite,
        "groups": groups,
        "task": task,
        "doc_id": sample["doc_id"],
        "doc_hash": sample["doc_hash"],
        "question": question_text(sample["doc"], prompt),
        "prompt": prompt,
        "target": sample["target"],
        "generated": list(_generated(sample)),
        "response": sample["filtered_resps"],
        "metrics": {f"{name}{suffix}": float(sample[name]) for name in sample["metrics"]},
    }


def _generated(sample: Row) -> Iterator[str]:
    """The whole answers, before the filter; none where likelihoods were compared."""
    for responses in sample["resps"]:
        yield from (response for response in responses if isinstance(response, str))


def _suffix(answer_filter: str) -> str:
    return "" if answer_filter == "none" else f"/{answer_filter}"
