"""Rollouts, updates, the loop, evaluation."""
