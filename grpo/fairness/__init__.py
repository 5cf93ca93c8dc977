"""Outcomes by group, disparities, intervals, and the report made of them."""
