"""Fixtures of these tests."""

from production_stand_ins import overlay, stand_ins
