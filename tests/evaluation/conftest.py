"""Fixtures of these tests."""

from spoken_words import redux, scripted, speech_tokenizer, split, word_codec
