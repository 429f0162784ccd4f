"""The suites of text questions by name: bundled, any of lm-eval's, and letters of MMLU-Redux.

`mmlu_redux_letters` is lm-eval's `mmlu_redux_generative`, same questions and prompts, answered by
the likeliest of the letters A to D instead of by generated text. As with lm-eval's own names, there
is one for a sub-group (`mmlu_redux_stem_letters`) and for a subject (`mmlu_redux_anatomy_letters`).
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import lm_eval.tasks
from lm_eval.api.group import Group
from lm_eval.api.task import ConfigurableTask
from lm_eval.config.group import AggMetricConfig
from lm_eval.tasks import TaskManager
from lm_eval.tasks._index import Entry, Kind
from lm_eval.tasks._yaml_loader import load_yaml

from voxtwist.errors import VoxtwistError
from voxtwist.evaluation.text.table import LETTERS

TASKS = Path(__file__).parent / "tasks"
_LM_EVAL = Path(lm_eval.tasks.__file__).parent
# What most runs name. Reading all of lm-eval's tasks takes 20 seconds, these a tenth of one.
_USUAL = [TASKS, _LM_EVAL / "mmlu" / "default", _LM_EVAL / "mmlu-redux" / "generative"]

_REDUX, _GENERATIVE = "mmlu_redux_", "_generative"
_LETTER_SCORING = {
    "output_type": "multiple_choice",
    "doc_to_choice": ["A", "B", "C", "D"],
    "doc_to_target": "answer",
    "target_delimiter": "",  # the letter comes right after the chat prompt
    "metric_list": [{"metric": "acc", "aggregation": "mean", "higher_is_better": True}],
    "filter_list": None,
    "generation_kwargs": None,
}

# The whole answer must be a letter, in the wordings that models use: "C", "(C)", "C. Mitosis",
# "Answer: C", "The correct answer is **C**". Stock takes the first capital A to D anywhere, which
# in "Answer: C" is the A of "Answer".
STRICT_ANSWER = (
    r"\A\s*(?:(?i:(?:the\s+)?(?:correct\s+)?(?:answer|option|choice)(?:\s+is)?)\s*:?\s*)?"
    r"[*(\[\"']*([ABCD])(?![\w'-])(?=[^\w\s]|\s*\Z)"
)


@dataclass(frozen=True)
class Suite:
    """Tasks that are run, and summed up, together.

    Attributes:
        tasks: lm-eval's tasks, without the groups.
        top: what lm-eval is to run: the group, where the suite is one.
        chat: asked through the chat template.
        letters: scored by the letter right after the chat prompt.
    """

    name: str
    tasks: list[ConfigurableTask]
    top: list[Any]
    chat: bool
    letters: bool

    @property
    def groups(self) -> dict[str, list[str]]:
        """Names of the groups that each task is in, the widest first; [] for a single task."""
        members: dict[str, list[str]] = {task.task_name: [] for task in self.tasks}
        for item in self.top:
            if isinstance(item, Group):
                for group in (item, *item.get_all_groups()):
                    for task in group.get_all_tasks():
                        members[task.task_name].append(group.name)
        return members

    def questions(self) -> Iterator[tuple[str, str]]:
        """Task and question text of everything that can be asked, regardless of the limit."""
        for task in self.tasks:
            for doc in task.eval_docs:
                yield task.task_name, question_text(doc, str(task.doc_to_text(doc)))


def question_text(doc: dict[str, Any], prompt: str) -> str:
    """The bare question of a task's row; the whole prompt where the row names none."""
    return str(doc.get("question", prompt))


def load_suites(names: Sequence[str], datasets: Path | None = None) -> list[Suite]:
    """Load suites with their data.

    Args:
        datasets: folder with local copies of the hub's data sets, each under its name
            (`cais/mmlu`); None takes them from the hub, or from its cache.

    Raises:
        VoxtwistError: an unknown suite, or its data are not there.
    """
    sources = [_source(name) for name in names]
    manager = TaskManager(include_defaults=False, include_path=[str(path) for path in _USUAL])
    if not set(sources) <= set(manager.all_tasks):
        manager = TaskManager(include_path=str(TASKS))
    for name, source in zip(names, sources, strict=True):
        if source not in manager.all_tasks:
            raise VoxtwistError(
                f"evaluate_text.suites names {name!r}, which lm-eval does not know: "
                "`voxtwist lm-eval ls tasks` lists what there is"
            )
    return [_load(manager, name, datasets) for name in names]


def _load(manager: TaskManager, name: str, datasets: Path | None) -> Suite:
    source, letters = _source(name), name.endswith(LETTERS)
    config = _first_config(manager, source)
    overrides: dict[str, Any] = {}
    if datasets is not None and "dataset_path" in config:
        overrides |= _local_copy(datasets, config)
    if letters:
        overrides |= _LETTER_SCORING
    elif name.startswith(_REDUX):
        overrides |= {"filter_list": [*config["filter_list"], _strict_filter()]}
    try:
        loaded = _load_with(manager, source, overrides)
    except (OSError, ValueError) as error:
        raise VoxtwistError(_no_data(name, config.get("dataset_path"), datasets, error)) from None
    tasks = list(loaded["tasks"].values())
    group = loaded["groups"].get(source) or _group_of_tag(manager, source, tasks)
    if letters:
        tasks = [_named_letters(task) for task in tasks]
        group = _letters_group(group) if group else None
    for part in (group, *group.get_all_groups()) if group else ():
        part.name = part.name.replace("::", "/")
        for metric in part.aggregate_metric_list or []:
            metric.filter_list = None  # all filters: the strict one too
    generative = any(task.OUTPUT_TYPE == "generate_until" for task in tasks)
    return Suite(name, tasks, [group] if group else tasks, generative or letters, letters)


def _load_with(manager: TaskManager, source: str, overrides: dict[str, Any]) -> Any:
    """lm-eval's tasks and groups below `source`, each task with the settings overridden."""
    # A group of one: lm-eval hands what a group says down to all tasks in it.
    config = {"group": "suite", "task": [source], **overrides}
    manager.task_index["suite"] = Entry("suite", Kind.GROUP, yaml_path=None, cfg=config)
    return manager.load("suite")


def _source(name: str) -> str:
    """lm-eval's name of the task or group that a suite is made of."""
    return name.removesuffix(LETTERS) + _GENERATIVE if name.endswith(LETTERS) else name


def _first_config(manager: TaskManager, name: str) -> dict[str, Any]:
    """The YAML of a task, or of the first task in a group or tag: they share data and filters."""
    entry = manager.task_index[name]
    if entry.yaml_path is None:
        return _first_config(manager, min(entry.tags))
    config: dict[str, Any] = load_yaml(entry.yaml_path, resolve_func=False)
    while isinstance(config["task"], list):
        child = config["task"][0]
        if isinstance(child, str):
            return _first_config(manager, child)
        config = child
    return config


def _local_copy(datasets: Path, config: dict[str, Any]) -> dict[str, Any]:
    """Settings of a task that read its data from a folder instead of the hub."""
    hub_name = config["dataset_path"]
    folder = datasets / hub_name
    if not folder.is_dir():
        raise VoxtwistError(
            f"evaluate_text.datasets is {datasets}, but {folder} is missing: copy it with `hf "
            f"download --repo-type dataset {hub_name} --local-dir {folder}`"
        )
    # The cache of `datasets` knows a folder by its last name: another copy, or a changed one,
    # would be mistaken for the first.
    fresh = {"download_mode": "force_redownload", "verification_mode": "no_checks"}
    kwargs = {**(config.get("dataset_kwargs") or {}), **fresh}
    return {"dataset_path": str(folder.resolve()), "dataset_kwargs": kwargs}


def _no_data(name: str, hub_name: str | None, datasets: Path | None, error: Exception) -> str:
    where = "the hub" if datasets is None else f"{datasets / str(hub_name)}"
    return (
        f"the data of the suite {name} ({hub_name}) cannot be read from {where} "
        f"({str(error).splitlines()[0]}): set evaluate_text.datasets to a folder with a local copy"
    )


def _strict_filter() -> dict[str, Any]:
    pattern = {"function": "regex", "regex_pattern": STRICT_ANSWER}
    return {"name": "strict", "filter": [pattern, {"function": "take_first"}]}


def _group_of_tag(manager: TaskManager, source: str, tasks: list[Any]) -> Group | None:
    """lm-eval sums up groups, not tags, but `mmlu_redux_stem_generative` is a tag."""
    if manager.task_index[source].yaml_path is not None:
        return None
    metrics = {metric["metric"] for metric in tasks[0].config.metric_list}
    group = Group(source, aggregate_metric_list=[AggMetricConfig(m) for m in sorted(metrics)])
    for task in tasks:
        group.add(task)
    return group


def _named_letters(task: Any) -> Any:
    task.set_config("task", task.task_name.replace(_GENERATIVE, LETTERS))
    return task


def _letters_group(group: Group) -> Group:
    name = group.name.replace(_GENERATIVE, LETTERS)
    copy = Group(name, aggregate_metric_list=[AggMetricConfig("acc")], metadata=group.metadata)
    for child in group:
        copy.add(_letters_group(child) if isinstance(child, Group) else child)
    return copy
