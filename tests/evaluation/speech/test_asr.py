"""The recognisers, on the embedded voice and on a random Whisper."""

from pathlib import Path

import numpy as np
import pytest
import torch
from transformers import (
    WhisperConfig,
    WhisperFeatureExtractor,
    WhisperForConditionalGeneration,
    WhisperTokenizer,
)

from voxtwist.codec.audio import resample
from voxtwist.corpus.numbers import numbers
from voxtwist.corpus.voice import SAMPLE_RATE, speak
from voxtwist.errors import VoxtwistError
from voxtwist.evaluation.speech.asr import RATE, MoonshineTranscriber, load_transcriber
from voxtwist.evaluation.speech.wer import error_rate, word_errors
from voxtwist.evaluation.speech.windows import cut_at_pauses


def test_moonshine_understands_the_embedded_voice() -> None:
    answers = [answer for _, answer in numbers(15, seed=3)]
    transcripts = MoonshineTranscriber().transcribe(list(speak(answers)), SAMPLE_RATE)
    assert error_rate([word_errors(*pair) for pair in zip(answers, transcripts, strict=True)]) < 0.1


def test_moonshine_hears_nothing_in_no_samples_and_survives_a_click() -> None:
    empty, click = np.zeros(0, np.float32), np.ones(3, np.float32)
    assert MoonshineTranscriber().transcribe([empty, click], SAMPLE_RATE)[0] == ""


@pytest.fixture(scope="module")
def whisper(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("whisper")
    letters = {letter: i for i, letter in enumerate("abcdefghijklmnopqrstuvwxyz")}
    tokenizer = WhisperTokenizer(vocab=letters, merges=[])
    tokenizer.add_special_tokens({"additional_special_tokens": ["<|startoftranscript|>"]})
    start = tokenizer.convert_tokens_to_ids("<|startoftranscript|>")
    tokenizer.save_pretrained(folder)
    WhisperFeatureExtractor(feature_size=8).save_pretrained(folder)
    config = WhisperConfig(
        vocab_size=len(tokenizer), num_mel_bins=8, d_model=16, encoder_layers=1, decoder_layers=1,
        encoder_attention_heads=2, decoder_attention_heads=2, encoder_ffn_dim=16,
        decoder_ffn_dim=16, max_target_positions=12, decoder_start_token_id=start,
        pad_token_id=tokenizer.pad_token_id, bos_token_id=tokenizer.bos_token_id,
        eos_token_id=tokenizer.eos_token_id, suppress_tokens=[], begin_suppress_tokens=[],
    )  # fmt: skip
    torch.manual_seed(0)
    model = WhisperForConditionalGeneration(config)
    # Random weights may well end before the first letter: only letters are allowed.
    model.generation_config.suppress_tokens = [*range(len(letters), len(tokenizer))]
    model.save_pretrained(folder)
    return folder


def test_any_whisper_folder_transcribes_in_batches(whisper: Path) -> None:
    generator = np.random.default_rng(0)
    waveforms = [generator.normal(size=n).astype(np.float32) for n in (8000, 0, 16000, 24000)]
    together = load_transcriber(str(whisper)).transcribe(waveforms, SAMPLE_RATE)
    one_by_one = [
        load_transcriber(str(whisper)).transcribe([waveform], SAMPLE_RATE)[0]
        for waveform in waveforms
    ]
    assert together == one_by_one
    assert [bool(text) for text in together] == [True, False, True, True]


def test_whisper_hears_all_of_a_long_recording_in_windows(whisper: Path) -> None:
    generator = np.random.default_rng(0)
    long = generator.normal(size=70 * SAMPLE_RATE).astype(np.float32)
    short = long[: 2 * SAMPLE_RATE]
    transcriber = load_transcriber(str(whisper))
    windows = cut_at_pauses(resample(long, SAMPLE_RATE, RATE), RATE, 30.0)
    assert len(windows) == 3
    alone = [transcriber.transcribe([window], RATE)[0] for window in windows]
    assert transcriber.transcribe([short, long], SAMPLE_RATE)[1] == " ".join(alone)


def test_windows_are_cut_where_it_is_quietest() -> None:
    waveform = np.ones(64 * RATE, np.float32)
    pauses = [int(27.5 * RATE), 54 * RATE]
    for pause in pauses:
        waveform[pause : pause + RATE // 2] = 0
    windows = cut_at_pauses(waveform, RATE, 30.0)
    assert np.concatenate(windows).tolist() == waveform.tolist()
    assert all(len(window) <= 30 * RATE for window in windows)
    for cut, pause in zip(np.cumsum([len(w) for w in windows[:-1]]), pauses, strict=True):
        assert pause < cut < pause + RATE // 2
    assert len(cut_at_pauses(waveform[: 30 * RATE], RATE, 30.0)) == 1


def test_an_unknown_recogniser_is_named() -> None:
    with pytest.raises(VoxtwistError, match=r"evaluate_speech\.asr is 'moonshot'"):
        load_transcriber("moonshot")
