"""What a scenario may say: the schema of ``scenarios/*.json``."""
