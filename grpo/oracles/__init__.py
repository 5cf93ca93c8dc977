"""Exact answers by linear programming: what a group-robust policy can reach at best."""
