"""Voxtwist: teach a text LLM to answer in text and then speak."""
