"""Spoken answers judged by ear: a codec of whole words, a real voice and a real recogniser."""

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import soundfile

from voxtwist.codec.base import decode_all
from voxtwist.codec.files import read_speech_tokens
from voxtwist.evaluation.speech.asr import MoonshineTranscriber
from voxtwist.evaluation.speech.evaluate import as_metrics, judge, write_samples
from voxtwist.evaluation.speech.figures import summarise_speech
from voxtwist.evaluation.speech.judges import Judges
from voxtwist.evaluation.speech.leak import Leak
from voxtwist.evaluation.speech.mos import Dnsmos
from voxtwist.evaluation.speech.questions import Reference
from voxtwist.evaluation.speech.utterance import Utterance, repeated_ngrams
from voxtwist.vocabulary import Spoken

REFERENCE = "seven plus eight is fifteen"


@pytest.fixture(scope="module")
def answers(word_codec: Any) -> list[Spoken]:
    def said(text: str, speech: str, problem: str | None = None) -> Spoken:
        ended = problem != "ended by length"
        return Spoken(text, word_codec.codes(speech), problem is None, problem, ended)

    return [
        said("Seven plus eight is fifteen.", "seven plus eight is fifteen"),
        said("Seven plus eight is fifteen.", "seven plus eight is monday"),
        said("Seven plus eight is eight.", "seven plus eight is eight"),
        said("Seven plus eight is fifteen.", "", "no speech"),
        said("", "the monday", "ended by length"),
    ]


@pytest.fixture(scope="module")
def utterances(word_codec: Any, answers: list[Spoken]) -> list[Utterance]:
    reference = Reference(
        "heldout", "numbers", "numbers-1", "7 + 8?", REFERENCE, word_codec.codes(REFERENCE)
    )
    references = [reference] * len(answers)
    waveforms = decode_all(word_codec, [answer.codes for answer in answers])
    leaks = [Leak(0.5, 5)] * 4 + [Leak(0.0, 0)]
    judges = Judges(MoonshineTranscriber(), Dnsmos())
    return judge(references, answers, leaks, waveforms, word_codec, judges, 6)


def test_speech_is_judged_against_the_models_own_text(utterances: list[Utterance]) -> None:
    right, wrong_word, wrong_text, silent, wordless = (u.words for u in utterances)
    assert right.rate == 0
    assert wrong_word.errors == 1
    assert wrong_text.rate == 0
    assert silent.rate == 1
    assert wordless.rate == 1


def test_text_is_judged_against_the_reference(utterances: list[Utterance]) -> None:
    assert [u.exact for u in utterances] == [True, True, False, True, False]
    assert utterances[0].chrf > utterances[2].chrf > utterances[4].chrf


def test_figures_of_the_group(utterances: list[Utterance]) -> None:
    figures = summarise_speech(utterances, resamples=200)
    words = sum(u.words.length for u in utterances)
    wrong = sum(u.words.errors for u in utterances)
    assert figures["heldout/numbers/wer"].value == pytest.approx(wrong / words)
    assert figures["heldout/numbers/wer"].low < wrong / words < figures["heldout/numbers/wer"].high
    assert figures["heldout/numbers/reference_wer"].value == 0
    assert figures["heldout/numbers/well_formed"].value == pytest.approx(3 / 5)
    assert figures["heldout/numbers/runaway"].value == pytest.approx(1 / 5)
    assert figures["heldout/numbers/eos"].value == pytest.approx(4 / 5)
    assert figures["heldout/numbers/leaked_mass"].value == pytest.approx(0.1)
    assert figures["heldout/numbers/leaked_mass"].n == 4  # without text nothing can leak
    assert "heldout/numbers/utmos" not in figures  # nobody asked for it
    assert figures["heldout/numbers/dnsmos"].n == 4  # silence has no quality
    assert figures["heldout/numbers/reference_dnsmos"].value > 2.5
    assert figures["heldout/numbers/seconds"].value == pytest.approx((5 + 5 + 5 + 0 + 2) / 50 / 5)


def test_metrics_are_flat_with_intervals_beside(utterances: list[Utterance]) -> None:
    metrics = as_metrics(summarise_speech(utterances, resamples=50))
    intervals = metrics.pop("intervals")
    assert all(isinstance(value, float) for value in metrics.values())
    assert intervals.keys() == metrics.keys()
    assert intervals["heldout/numbers/wer"][2] == 5
    json.dumps(metrics)


def test_samples_can_be_played_read_and_spoken_again(
    utterances: list[Utterance], answers: list[Spoken], word_codec: Any, tmp_path: Path
) -> None:
    waveforms = decode_all(word_codec, [answer.codes for answer in answers])
    write_samples(tmp_path, utterances, answers, waveforms, word_codec)
    rows = [json.loads(line) for line in (tmp_path / "samples.jsonl").read_text().splitlines()]
    assert [row["id"] for row in rows] == [f"heldout-numbers-0{i}" for i in range(1, 6)]
    played, rate = soundfile.read(tmp_path / "heldout-numbers-01.flac")
    assert (rate, len(played)) == (word_codec.sample_rate, len(waveforms[0]))
    assert not (tmp_path / "heldout-numbers-04.flac").exists()
    tokens = read_speech_tokens(tmp_path / "tokens.jsonl")
    assert [t.codes.tolist() for t in tokens] == [a.codes.tolist() for a in answers if len(a.codes)]


def test_an_answer_that_was_closed_at_its_longest_ran_away(
    utterances: list[Utterance], answers: list[Spoken], word_codec: Any
) -> None:
    references = [Reference("taught", "all", "1", "7 + 8?", REFERENCE, answers[0].codes)]
    (utterance,) = judge(
        references,
        answers[:1],
        [Leak(0.0, 5)],
        decode_all(word_codec, [answers[0].codes]),
        word_codec,
        Judges(MoonshineTranscriber()),
        longest=len(answers[0].codes),
    )
    assert utterance.well_formed
    assert utterance.runaway
    assert not utterances[0].runaway
    assert utterance.mos is None


def test_repeated_ngrams() -> None:
    assert repeated_ngrams(np.arange(20)) == 0
    assert repeated_ngrams(np.zeros(20, np.int64)) == pytest.approx(16 / 17)
    assert repeated_ngrams(np.array([1, 2])) == 0
