"""What a scenario implies before it is simulated, and how it compares with what was published."""
