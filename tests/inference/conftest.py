"""Fixtures of these tests."""

from tiny_speaker import codec_folder, generation, project, settings, speaker
