"""The evaluation stages on a tiny model, as the pipeline calls them, into a real MLflow run."""

import json
from collections.abc import Callable
from importlib.metadata import version
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import torch
import yaml
from tests.tiny_codec import tiny_codec
from transformers import LlamaConfig, LlamaForCausalLM, PreTrainedTokenizerFast

from completions_server import serving
from voxtwist.data.files import rows_path
from voxtwist.errors import VoxtwistError
from voxtwist.evaluation.held_out import is_trained, trained_hashes
from voxtwist.evaluation.text.evaluate import evaluate_text
from voxtwist.evaluation.text.table import read_questions, write_questions
from voxtwist.evaluation.text.trained import report_trained
from voxtwist.evaluation.text.trivia import trivia
from voxtwist.params import Params
from voxtwist.stages.evaluate_speech import speech_stage
from voxtwist.stages.evaluate_text import compare_folders, log_text, text_stage
from voxtwist.tracking.store import Store, open_store

PARAMS = Path(__file__).parents[2] / "params.yaml"


def write_model(folder: Path, tokenizer: PreTrainedTokenizerFast, seed: int) -> Path:
    torch.manual_seed(seed)
    config = LlamaConfig(
        vocab_size=len(tokenizer), hidden_size=32, intermediate_size=32, num_hidden_layers=1,
        num_attention_heads=2, tie_word_embeddings=True,
    )  # fmt: skip
    LlamaForCausalLM(config).save_pretrained(folder)
    tokenizer.save_pretrained(folder)
    return folder


@pytest.fixture(scope="module")
def models(
    tmp_path_factory: pytest.TempPathFactory, speech_tokenizer: PreTrainedTokenizerFast
) -> dict[str, Path]:
    root = tmp_path_factory.mktemp("checkpoints")
    return {
        name: write_model(root / name, speech_tokenizer, seed)
        for seed, name in enumerate(("twist", "sft"))
    }


@pytest.fixture
def params(tmp_path: Path) -> Params:
    values = yaml.safe_load(PARAMS.read_text())
    values["evaluate_text"] |= {"limit": 12, "bootstrap": 50}
    values["evaluate_speech"] |= {"samples": 2, "taught": 1, "mos": "none", "bootstrap": 50}
    values["generate"] |= {"max_text_tokens": 4, "max_speech_seconds": 0.6, "constrained": True}
    values["codec"] |= {"name": "phones", "path": str(tmp_path / "codec"), "n_codes": 10}
    tiny_codec(10).save(tmp_path / "codec")
    return Params(**values)


@pytest.fixture
def run(tmp_path: Path, params: Params) -> tuple[Store, str]:
    store = open_store(tmp_path, params.tracking.experiment)
    run_id = store.client.create_run(store.experiment_id, run_name="embedded tiny").info.run_id
    (tmp_path / "metrics").mkdir()
    (tmp_path / "metrics" / "train.json").write_text(json.dumps({"run_id": run_id}))
    return store, run_id


def test_text_before_and_after(
    models: dict[str, Path], params: Params, run: tuple[Store, str], split: Path, tmp_path: Path
) -> None:
    folders = {name: tmp_path / name for name in models}
    metrics = {
        name: text_stage(tmp_path, params, models[name], split, folders[name]) for name in models
    }
    assert metrics["sft"]["trivia/n"] == 12
    assert 0 <= metrics["sft"]["trivia/acc"] <= 1
    assert metrics["sft"]["trivia/acc_stderr"] > 0
    assert metrics["sft"]["trivia/leaked_mass"] > 0
    compared = compare_folders(folders["twist"], folders["sft"], 50)["trivia/acc"]
    assert compared["before"] == pytest.approx(metrics["twist"]["trivia/acc"])
    assert compared["after"] == pytest.approx(metrics["sft"]["trivia/acc"])
    assert compared["n"] == 12

    metrics["sft"]["comparison"] = {"trivia/acc": compared}
    log_text(tmp_path, params, metrics["sft"], folders["sft"])
    store, run_id = run
    logged = store.client.get_run(run_id).data.metrics
    assert logged["text/trivia/acc"] == pytest.approx(metrics["sft"]["trivia/acc"])
    assert logged["text_change/trivia/acc"] == pytest.approx(compared["difference"])
    artifacts = {item.path for item in store.client.list_artifacts(run_id, "text")}
    assert artifacts == {"text/questions.jsonl", "text/details.json"}


def test_the_table_and_the_details_say_what_was_asked_and_how(
    models: dict[str, Path], params: Params, split: Path, tmp_path: Path
) -> None:
    text_stage(tmp_path, params, models["sft"], split, tmp_path)
    rows = [json.loads(line) for line in (tmp_path / "questions.jsonl").read_text().splitlines()]
    assert rows[0]["question"] == "Who was the 37th President of the United States?"
    assert rows[0]["prompt"] == f"Question: {rows[0]['question']}\nAnswer:"
    best = max(range(4), key=lambda choice: rows[0]["response"][choice][0])
    assert rows[0]["metrics"]["acc"] == (best == rows[0]["target"])
    details = json.loads((tmp_path / "details.json").read_text())
    trivia = details["suites"]["trivia"]
    assert trivia["versions"] == {"trivia": 1.0}
    assert trivia["config"]["random_seed"] == 0
    assert trivia["first_prompt"] == rows[0]["prompt"]
    assert details["software"]["lm_eval"] == version("lm_eval")
    assert len(details["chat_template_sha256"]) == 64


def test_tables_of_different_questions_are_not_compared(
    models: dict[str, Path], params: Params, split: Path, tmp_path: Path
) -> None:
    fewer = params.model_copy(
        update={"evaluate_text": params.evaluate_text.model_copy(update={"limit": 3})}
    )
    text_stage(tmp_path, fewer, models["twist"], split, tmp_path / "twist")
    text_stage(tmp_path, params, models["sft"], split, tmp_path / "sft")
    with pytest.raises(VoxtwistError, match="not asked the same questions"):
        compare_folders(tmp_path / "twist", tmp_path / "sft", 50)


def taught(folder: Path, *questions: str) -> Path:
    """A training split of these questions, as far as they are asked about."""
    split = folder / "train.jsonl"
    pq.write_table(pa.table({"question": list(questions)}), rows_path(split))
    return split


def test_case_punctuation_and_spacing_do_not_hide_a_trained_question(tmp_path: Path) -> None:
    hashes = trained_hashes(taught(tmp_path, "who WAS it", "something"))
    assert is_trained(["Who is it?", "Who was  it?"], hashes).tolist() == [False, True]


def test_trained_questions_are_left_out_of_a_suite_and_reported(
    models: dict[str, Path], params: Params, tmp_path: Path
) -> None:
    questions = [question.question for question in trivia()]
    split = taught(tmp_path, questions[1].upper(), questions[200], "something else")
    metrics = text_stage(tmp_path, params, models["sft"], split, tmp_path)
    assert metrics["trivia/trained"] == 2
    assert metrics["trivia/n"] == 12  # the limit counts what is asked
    rows = read_questions(tmp_path)
    assert [row["doc_id"] for row in rows] == [0, *range(2, 13)]
    assert [row["question"] for row in rows] == [questions[0], *questions[2:13]]
    [details] = json.loads((tmp_path / "details.json").read_text())["suites"].values()
    assert details["left_out"] == [
        {"task": "trivia", "doc_id": number, "question": questions[number]} for number in (1, 200)
    ]
    report, lines = report_trained(["trivia"], None, split)
    assert report == {"trivia": {"questions": 258, "trained": 2, "which": details["left_out"]}}
    assert lines == [
        "2 of 258 questions of trivia are in the training data and are left out of its "
        f"evaluation: {questions[1]!r}, {questions[200]!r}"
    ]


def test_a_suite_of_trained_questions_only_is_refused_before_training(tmp_path: Path) -> None:
    split = taught(tmp_path, *(question.question for question in trivia()))
    with pytest.raises(VoxtwistError, match=r"all 258 questions of trivia .*evaluate_text\.suites"):
        report_trained(["trivia"], None, split)


def test_a_suite_whose_data_are_not_there_yet_is_reported_as_unchecked(tmp_path: Path) -> None:
    split = taught(tmp_path, "something")
    report, [line] = report_trained(["trivia", "no_suite"], None, split)
    assert report["trivia"]["trained"] == 0
    assert "no_suite" in report["no_suite"]["unchecked"]
    assert line.startswith("no_suite is not compared with the training data yet: ")


def test_mistakes_are_named(models: dict[str, Path], tmp_path: Path) -> None:
    with pytest.raises(VoxtwistError, match="holds no checkpoint"):
        evaluate_text(tmp_path, ["trivia"], limit=1, batch_size=1)


@pytest.fixture
def splits(split: Path, tmp_path: Path) -> Path:
    """The folder of `split` with a train.jsonl of other questions."""
    train = tmp_path / "train.jsonl"
    train.write_bytes(split.read_bytes())
    rows = pq.read_table(rows_path(split))
    taught = pa.array([f"Taught {i}?" for i in range(len(rows))])
    pq.write_table(rows.set_column(1, "question", taught), rows_path(train))
    return tmp_path


def test_speech_from_the_model_to_the_run(
    models: dict[str, Path], params: Params, run: tuple[Store, str], splits: Path, tmp_path: Path
) -> None:
    output = tmp_path / "speech"
    metrics = speech_stage(tmp_path, params, models["sft"], splits, output)
    rows = [json.loads(line) for line in (output / "samples.jsonl").read_text().splitlines()]
    assert [row["id"] for row in rows] == [
        "heldout-everyday-01", "heldout-everyday-02", "heldout-numbers-01", "heldout-numbers-02",
        "taught-everyday-01", "taught-numbers-01",
    ]  # fmt: skip
    assert metrics["heldout/numbers/well_formed"] == 1  # constrained
    assert metrics["intervals"]["taught/numbers/wer"][2] == 1
    assert metrics["real_time_factor"] > 0
    store, run_id = run
    logged = store.client.get_run(run_id).data.metrics
    assert logged["speech/heldout/numbers/wer"] == metrics["heldout/numbers/wer"]
    artifacts = {item.path for item in store.client.list_artifacts(run_id, "speech")}
    assert artifacts >= {"speech/samples.jsonl", "speech/heldout-numbers-01.flac"}


def test_a_server_speaks_for_the_model(
    scripted: Callable[[str], Path],
    params: Params,
    run: tuple[Store, str],
    splits: Path,
    tmp_path: Path,
) -> None:
    output, checkpoint = tmp_path / "speech", scripted("It is four")
    with serving(checkpoint) as running:
        free = params.generate.model_copy(update={"constrained": False, "server": running.url})
        params = params.model_copy(update={"generate": free})
        metrics = speech_stage(tmp_path, params, checkpoint, splits, output)
        assert len(running.asked) == 6
    rows = _lines(output / "samples.jsonl")
    assert [(row["text"], row["problem"]) for row in rows] == [("It is four", None)] * 6
    assert [line["speech_tokens"] for line in _lines(output / "tokens.jsonl")] == [[0, 1, 2]] * 6
    assert 0 <= metrics["heldout/numbers/leaked_mass"] < 1  # read back here, by the checkpoint
    settings = json.loads((output / "settings.json").read_text())
    assert settings["generate"]["server"] == running.url


def _lines(file: Path) -> list[dict[str, Any]]:
    return [json.loads(line) for line in file.read_text().splitlines()]


def test_evaluation_before_training_says_so(tmp_path: Path, params: Params) -> None:
    write_questions(tmp_path, [])
    with pytest.raises(VoxtwistError, match=r"train\.json is missing: run the stage train"):
        log_text(tmp_path, params, {"comparison": {}}, tmp_path)
