"""Fixtures of these tests."""

from production_stand_ins import stand_ins
from training_project import project
