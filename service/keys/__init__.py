"""API keys: who calls, what they may do, and which records are theirs."""
