"""The codec that params.yaml names."""

from pathlib import Path

from torch import Tensor

from voxtwist.codec.base import SpeechCodec
from voxtwist.device import best_device
from voxtwist.errors import VoxtwistError
from voxtwist.params import Codec


def load_codec(settings: Codec) -> SpeechCodec:
    """Load it from `codec.path`, on the GPU where there is one; the codec of phones is quick on a
    CPU, and stays there.

    Raises:
        VoxtwistError: nothing is there, or its number or rate of codes is not that of the settings.
    """
    codec = open_codec(
        settings.name, settings.path, settings.speaker, settings.prompt_audio, best_device()
    )
    if codec.vocab_size != settings.n_codes:
        raise VoxtwistError(
            f"codec.n_codes is {settings.n_codes}, but {settings.path} has {codec.vocab_size} codes"
        )
    if codec.frame_rate_hz != settings.frame_rate_hz:
        raise VoxtwistError(
            f"codec.frame_rate_hz is {settings.frame_rate_hz}, but {settings.path} has "
            f"{codec.frame_rate_hz} codes per second"
        )
    return codec


def load_code_vectors(settings: Codec) -> Tensor:
    """float32 (n_codes, width): vectors that lie close together where codes sound alike.

    Of a code's two phones; for CosyVoice the input embedding of its flow.
    """
    if settings.name == "phones":
        from voxtwist.codec.phones import PhoneCodec

        return PhoneCodec.load(Path(settings.path)).code_vectors
    from voxtwist.codec.cosyvoice.weights import read_pt

    return read_pt(Path(settings.path) / "flow.pt")["input_embedding.weight"].float()


def open_codec(
    name: str,
    path: str | Path,
    speaker: str | None = None,
    prompt_audio: str | None = None,
    device: str = "cpu",
) -> SpeechCodec:
    """A codec by its kind and folder, however many codes it has."""
    if name == "phones":
        from voxtwist.codec.phones import PhoneCodec

        return PhoneCodec.load(Path(path))
    from voxtwist.codec.cosyvoice.adapter import DEFAULT_SPEAKER, CosyVoiceCodec

    return CosyVoiceCodec(str(path), speaker or DEFAULT_SPEAKER, prompt_audio, device)
