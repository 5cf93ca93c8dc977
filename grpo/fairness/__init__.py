"""Outcomes by group with intervals: what was judged, how far apart groups are, how sure we are."""
