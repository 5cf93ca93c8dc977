"""Rules whose numbers are found by search: auditable rivals of a trained policy."""
