"""Fixtures of these tests."""

from spoken_words import scripted, speech_tokenizer, split
