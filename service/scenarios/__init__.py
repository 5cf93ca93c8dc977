"""Stored scenarios: hospitals that clients describe once and name in their jobs."""
