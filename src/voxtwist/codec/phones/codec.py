"""The embedded codec: phones, heard by a recogniser's encoder and spoken by a small net.

A code is a pair of phones, 40 ms. Encoding: Moonshine's encoder, a small head that names a phone
every 20 ms, and the likeliest pair for each two of them. Decoding: the phones of the codes, a
convolutional net that knows one voice, and the vocoder WORLD. It is the idea of CosyVoice's codes
(supervised semantic tokens: Du et al. 2024, arXiv:2407.05407), small enough to fit in minutes.
"""

import json
from collections.abc import Iterator, Sequence
from pathlib import Path

import numpy as np
import torch
from safetensors import SafetensorError
from safetensors.torch import load_file, save_file
from torch import Tensor

from voxtwist.codec.phones import world
from voxtwist.codec.phones.decoder import PhoneDecoder
from voxtwist.codec.phones.encoder import PHONE_RATE_HZ, MoonshineEncoder, PhoneHead
from voxtwist.errors import VoxtwistError

PAUSE = "_"
_WEIGHTS, _CONFIG = "codec.safetensors", "config.json"
_EDGE = 8  # phones of pause before and behind: the net learnt sentences between pauses


class PhoneCodec:
    """A `SpeechCodec`. It hears mono waveforms of any rate and speaks at 24 kHz.

    Attributes:
        phones: names of the phones, the pause among them.
        pairs: int64 (vocab_size, 2), the two phones of each code.
        scale: float32 (2, 65), mean and deviation of the WORLD features that the net predicts.
    """

    name = "phones"
    sample_rate = world.SAMPLE_RATE
    frame_rate_hz = PHONE_RATE_HZ // 2

    def __init__(
        self,
        phones: Sequence[str],
        pairs: np.ndarray,
        head: PhoneHead,
        decoder: PhoneDecoder,
        scale: Tensor,
    ) -> None:
        self.phones, self.pairs, self.scale = list(phones), pairs, scale
        self.head, self.decoder = head.eval(), decoder.eval()
        self.vocab_size = len(pairs)
        self._encoder = MoonshineEncoder()

    @property
    def code_vectors(self) -> Tensor:
        """float32 (vocab_size, 512): what the net knows of a code's two phones."""
        return self.decoder.embedding.weight.detach()[torch.from_numpy(self.pairs)].flatten(1)

    def encode(self, waveform: np.ndarray, rate: int) -> np.ndarray:
        """Mono float32 waveform (N,) at `rate` Hz -> int64 codes (T,), 25 a second."""
        return self.codes_of(self._encoder(waveform, rate))

    @torch.inference_mode()
    def codes_of(self, features: np.ndarray) -> np.ndarray:
        """Moonshine's features (T, 288) -> int64 codes (ceil(T / 2),): the likeliest pairs."""
        if len(features) % 2:
            features = np.concatenate([features, features[-1:]])
        scores = self.head(torch.from_numpy(features).unsqueeze(0))[0].log_softmax(-1)
        first, second = torch.from_numpy(self.pairs).T
        return (scores[0::2, first] + scores[1::2, second]).argmax(-1).numpy()

    @torch.inference_mode()
    def decode(self, codes: np.ndarray) -> np.ndarray:
        """Codes (T,) -> mono float32 waveform (T * 960,) at 24 kHz.

        Raises:
            VoxtwistError: no codes, or a code outside ``[0, vocab_size)``.
        """
        codes = np.asarray(codes, dtype=np.int64)
        if not codes.size:
            raise VoxtwistError("there are no speech codes to decode")
        if codes.min() < 0 or codes.max() >= self.vocab_size:
            raise VoxtwistError(
                f"speech codes range from {codes.min()} to {codes.max()}: "
                f"this codec has 0 to {self.vocab_size - 1}"
            )
        pause = self.phones.index(PAUSE)
        phones = np.pad(self.pairs[codes].ravel(), _EDGE, constant_values=pause)
        features = self.decoder(torch.from_numpy(phones).unsqueeze(0))[0, 2 * _EDGE : -2 * _EDGE]
        mean, deviation = self.scale
        features = features * deviation + mean
        features[:, 1] = (features[:, 1] > 0).float()
        return world.synthesise(features.numpy())

    def decode_many(self, utterances: Sequence[np.ndarray]) -> Iterator[tuple[int, np.ndarray]]:
        """As `decode` for each: (its index, its waveform)."""
        return enumerate(map(self.decode, utterances))

    def save(self, folder: Path) -> None:
        """Write the codec's two files."""
        folder.mkdir(parents=True, exist_ok=True)
        tensors = {"pairs": torch.from_numpy(self.pairs), "scale": self.scale}
        for part, module in (("head", self.head), ("decoder", self.decoder)):
            tensors |= {f"{part}.{name}": value for name, value in module.state_dict().items()}
        save_file({k: v.contiguous() for k, v in tensors.items()}, folder / _WEIGHTS)
        config = {
            "codec": self.name,
            "vocab_size": self.vocab_size,
            "frame_rate_hz": self.frame_rate_hz,
            "sample_rate": self.sample_rate,
            "phones": self.phones,
        }
        text = json.dumps(config, indent=2, ensure_ascii=False) + "\n"
        (folder / _CONFIG).write_text(text, encoding="utf-8")

    @classmethod
    def load(cls, folder: Path) -> "PhoneCodec":
        """Read a codec that `save` wrote.

        Raises:
            VoxtwistError: the folder does not hold one.
        """
        folder = Path(folder)
        try:
            phones = json.loads((folder / _CONFIG).read_bytes())["phones"]
            tensors = load_file(folder / _WEIGHTS)
            head, decoder = PhoneHead(len(phones)), PhoneDecoder(len(phones))
            for part, module in (("head", head), ("decoder", decoder)):
                prefix = f"{part}."
                module.load_state_dict(
                    {k.removeprefix(prefix): v for k, v in tensors.items() if k.startswith(prefix)}
                )
            return cls(phones, tensors["pairs"].numpy(), head, decoder, tensors["scale"])
        except FileNotFoundError as error:
            reason = f"{Path(error.filename or _WEIGHTS).name} is missing"
        except (SafetensorError, KeyError, RuntimeError, ValueError) as error:
            reason = str(error).splitlines()[0]
        raise VoxtwistError(f"{folder} holds no codec of phones ({reason})")
