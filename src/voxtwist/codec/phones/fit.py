"""Fitting the codec of phones on a labelled voice."""

from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import TypeVar

import numpy as np
import torch
from rich.progress import track
from torch import Tensor, nn
from torch.nn.functional import binary_cross_entropy_with_logits, cross_entropy

from voxtwist.codec.phones import world
from voxtwist.codec.phones.codec import PhoneCodec
from voxtwist.codec.phones.decoder import PhoneDecoder
from voxtwist.codec.phones.encoder import MoonshineEncoder, PhoneHead
from voxtwist.codec.phones.pairs import choose_pairs
from voxtwist.device import choose_precision
from voxtwist.errors import VoxtwistError

_SPAN = 100  # phones of a training span, 2 s
_Net = TypeVar("_Net", PhoneHead, PhoneDecoder)


@dataclass(frozen=True)
class Utterance:
    """A sentence of the voice that the codec is fitted on.

    Attributes:
        waveform: mono float32 (N,) at 24 kHz.
        phones: the name of the phone that sounds in each 20 ms.
        f0: float (frames,), Hz in each 10 ms, 0 where there is no voice.
    """

    waveform: np.ndarray
    phones: list[str]
    f0: np.ndarray


@dataclass(frozen=True)
class Effort:
    """How long the two nets learn: steps of `batch` spans of 2 s (the head: of twice as many)."""

    head_steps: int
    decoder_steps: int
    batch: int = 16

    @classmethod
    def for_speech(cls, seconds: float) -> "Effort":
        """27 passes over the speech by the decoder, 13 by the head; little speech gets more."""
        spans = seconds / (_SPAN / 50)
        return cls(max(100, round(13 * spans / 32)), max(200, round(27 * spans / 16)))


def fit(utterances: Sequence[Utterance], n_codes: int, seed: int, effort: Effort) -> PhoneCodec:
    """Fit head, pairs and decoder, deterministically.

    The decoder learns from the phones that the head hears, not from the voice's own: those are
    what it will be given.

    Raises:
        VoxtwistError: fewer codes than phones, more than the speech has pairs, or less than two
            seconds of speech.
    """
    names = sorted({name for utterance in utterances for name in utterance.phones})
    if n_codes < len(names):
        raise VoxtwistError(f"codec.n_codes is {n_codes}: the voice has {len(names)} phones")
    number = {name: i for i, name in enumerate(names)}
    labels = [np.array([number[name] for name in u.phones]) for u in utterances]
    if sum(map(len, labels)) <= _SPAN:
        raise VoxtwistError("corpus.codec_minutes: the codec needs more than two seconds of speech")
    pairs = choose_pairs(labels, len(names), n_codes)
    if len(pairs) < n_codes:
        raise VoxtwistError(
            f"codec.n_codes is {n_codes}: the speech has only {len(pairs)} pairs of phones; "
            "corpus.codec_minutes gives more"
        )
    features = MoonshineEncoder().many([u.waveform for u in utterances], world.SAMPLE_RATE)
    sounds = _analyse_all(utterances)

    head = _seeded(seed, PhoneHead, len(names))
    spans = _Spans(features, labels, seed)
    _learn(head, spans, _phone_loss, effort.head_steps, 2 * effort.batch, 2e-3, "learning to hear")

    everything = torch.from_numpy(np.concatenate(sounds))
    scale = torch.stack([everything.mean(0), everything.std(0).clamp(min=1e-3)])
    scale[:, 1] = torch.tensor([0.0, 1.0])  # voiced or not stays a logit
    decoder = _seeded(seed, PhoneDecoder, len(names))
    codec = PhoneCodec(names, pairs, head, decoder, scale)
    heard = [pairs[codec.codes_of(part)].ravel() for part in features]
    targets = [(part - scale[0].numpy()) / scale[1].numpy() for part in sounds]
    spans = _Spans(heard, targets, seed)
    steps = effort.decoder_steps
    _learn(decoder, spans, _sound_loss, steps, effort.batch, 1e-3, "learning to speak")
    return codec


def _seeded(seed: int, net: type[_Net], phones: int) -> _Net:
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        return net(phones)


def _analyse_all(utterances: Sequence[Utterance]) -> list[np.ndarray]:
    """WORLD features (2 T, 65) for the even number T of phones of each utterance."""

    def one(utterance: Utterance) -> np.ndarray:
        frames = 2 * (len(utterance.phones) + len(utterance.phones) % 2)
        return world.analyse(utterance.waveform, _to_length(utterance.f0, frames))

    with ThreadPoolExecutor(2) as pool:
        return list(track(pool.map(one, utterances), "analysing the voice", len(utterances)))


def _to_length(values: np.ndarray, length: int) -> np.ndarray:
    return np.pad(values, (0, max(0, length - len(values))))[:length]


class _Spans:
    """Random spans of inputs (T, ...) and of the targets that belong to them (k T, ...)."""

    def __init__(self, inputs: list[np.ndarray], targets: list[np.ndarray], seed: int) -> None:
        self.inputs = torch.from_numpy(np.concatenate(inputs))
        self.targets = torch.from_numpy(np.concatenate(targets))
        self.finer = len(self.targets) // len(self.inputs)
        self.generator = torch.Generator().manual_seed(seed)

    def draw(self, count: int) -> tuple[Tensor, Tensor]:
        starts = torch.randint(len(self.inputs) - _SPAN, (count,), generator=self.generator)
        k = self.finer
        return (
            torch.stack([self.inputs[s : s + _SPAN] for s in starts]),
            torch.stack([self.targets[k * s : k * (s + _SPAN)] for s in starts]),
        )


def _learn(
    net: nn.Module,
    spans: _Spans,
    loss: Callable[[Tensor, Tensor], Tensor],
    steps: int,
    batch: int,
    rate: float,
    description: str,
) -> None:
    optimizer = torch.optim.AdamW(net.parameters(), lr=rate, betas=(0.9, 0.98))
    schedule = torch.optim.lr_scheduler.OneCycleLR(optimizer, rate, total_steps=steps)
    half = choose_precision("auto", torch.device("cpu")) == "bf16"
    net.train()
    for _ in track(range(steps), description):
        inputs, targets = spans.draw(batch)
        optimizer.zero_grad()
        with torch.autocast("cpu", torch.bfloat16, enabled=half):
            predicted = net(inputs)
        value = loss(predicted.float(), targets)
        value.backward()
        nn.utils.clip_grad_norm_(net.parameters(), 1.0)
        optimizer.step()
        schedule.step()
    net.eval()


def _phone_loss(logits: Tensor, phones: Tensor) -> Tensor:
    return cross_entropy(logits.flatten(0, 1), phones.flatten(), label_smoothing=0.05)


def _sound_loss(predicted: Tensor, sound: Tensor) -> Tensor:
    """Absolute errors of the spectra, of the pitch where there is one, and of voiced or not."""
    voiced = sound[..., 1]
    pitch = ((predicted[..., 0] - sound[..., 0]).abs() * voiced).sum() / voiced.sum().clamp(min=1)
    voicing = binary_cross_entropy_with_logits(predicted[..., 1], voiced)
    spectra = (predicted[..., 2:] - sound[..., 2:]).abs().mean()
    return spectra + 0.1 * pitch + 0.1 * voicing
