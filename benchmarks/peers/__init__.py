"""PPO of other libraries on our tasks, one process each: ``python -m benchmarks.peers NAME``."""
