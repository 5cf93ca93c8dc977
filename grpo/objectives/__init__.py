"""Equations only: pure functions and small frozen objects, one equation each, with sources."""
