"""Dispatch rules: declared, and built for a scenario."""
