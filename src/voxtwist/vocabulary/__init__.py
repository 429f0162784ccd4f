"""Text, modality and speech ids; the chat format; parsing of what a model generated."""

from voxtwist.vocabulary.chat_format import IGNORED_LABEL, ChatFormat, Sample
from voxtwist.vocabulary.generated import Spoken, parse_generated
from voxtwist.vocabulary.loading import load_extended_tokenizer, load_fast_tokenizer
from voxtwist.vocabulary.tokens import (
    FORMATS,
    MODALITY_TOKENS,
    SpeechVocabulary,
    extend_tokenizer,
    speech_token,
)
from voxtwist.vocabulary.turns import Conversation, split_turns, strip_speaker

__all__ = [
    "FORMATS",
    "IGNORED_LABEL",
    "MODALITY_TOKENS",
    "ChatFormat",
    "Conversation",
    "Sample",
    "SpeechVocabulary",
    "Spoken",
    "extend_tokenizer",
    "load_extended_tokenizer",
    "load_fast_tokenizer",
    "parse_generated",
    "speech_token",
    "split_turns",
    "strip_speaker",
]
