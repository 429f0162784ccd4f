"""CosyVoice v1 (Du et al. 2024), inference only: speech tokens to a waveform and back.

The architecture is that of the published CosyVoice-300M models (Apache-2.0) and, inside the flow,
of Matcha-TTS (Mehta et al. 2024).
"""

from voxtwist.codec.cosyvoice.adapter import CosyVoiceCodec
from voxtwist.codec.cosyvoice.model import CosyVoice
from voxtwist.codec.cosyvoice.prompt import Prompt

__all__ = ["CosyVoice", "CosyVoiceCodec", "Prompt"]
