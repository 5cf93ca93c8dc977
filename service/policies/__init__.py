"""Trained policies: their record and the cache that serves them."""
