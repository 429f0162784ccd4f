"""What is compared: models, each with its answers, audio and figures, out of its MLflow run."""

import re
from pathlib import Path

import orjson

from voxtwist.errors import VoxtwistError
from voxtwist.evaluation.speech.evaluate import SAMPLES, as_metrics
from voxtwist.evaluation.speech.figures import summarise_speech
from voxtwist.evaluation.speech.utterance import Utterance
from voxtwist.evaluation.statistics import mean
from voxtwist.evaluation.text.table import pair_answers, read_questions
from voxtwist.pages.comparison import Side
from voxtwist.pages.listening import Tile
from voxtwist.params import Promotion
from voxtwist.tracking.registry import find_version
from voxtwist.tracking.store import Store, fetch

_RUN_ID = re.compile(r"[0-9a-f]{32}")


def load_side(store: Store, model: str, name: str, settings: Promotion, folder: Path) -> Side:
    """Fetch what a run or version said.

    Args:
        model: that bare version numbers and aliases belong to.
        name: a run id, or what `find_version` takes.
        folder: empty; gets the artifacts.

    Raises:
        VoxtwistError: there is no such run or version, or its speech was not evaluated.
    """
    version = None if _RUN_ID.fullmatch(name) else find_version(store, model, name)
    run_id = str(version.run_id) if version else name
    folder.mkdir(parents=True)
    samples = fetch(store, run_id, "speech", folder)
    if samples is None or not (samples / SAMPLES).exists():
        raise VoxtwistError(f"run {run_id} has no speech/{SAMPLES}: run the stage evaluate_speech")
    rows = [orjson.loads(line) for line in (samples / SAMPLES).read_bytes().splitlines()]
    figures = summarise_speech([Utterance.from_row(row) for row in rows], settings.bootstrap)
    title = str(store.client.get_run(run_id).info.run_name)
    return Side(
        name=f"{title} ({version.name} {version.version})" if version else title,
        run_id=run_id,
        samples=samples,
        rows={(row["group"], row["part"], row["question"]): row for row in rows},
        metrics=as_metrics(figures),
        text=_text(store, run_id, settings, folder),
    )


def _text(store: Store, run_id: str, settings: Promotion, folder: Path) -> list[Tile]:
    table = fetch(store, run_id, "text/questions.jsonl", folder)
    if table is None:
        return []
    questions = read_questions(table.parent)
    measured = pair_answers(questions, questions)
    tiles = []
    for name in settings.text_metrics:
        if name in measured:
            share = mean([value for value, _ in measured[name]], settings.bootstrap)
            interval = f"{share.low:.1%} – {share.high:.1%}"
            tiles.append(Tile(f"Text: {name}", f"{share.value:.1%}", interval, None))
    return tiles
