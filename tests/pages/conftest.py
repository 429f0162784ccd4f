"""Fixtures of these tests."""

from spoken_words import word_codec
from tiny_speaker import codec_folder, generation, project, settings, speaker
