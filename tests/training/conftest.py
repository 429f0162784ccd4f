"""Fixtures of these tests."""

from training_project import project, splits
