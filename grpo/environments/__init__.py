"""Environments: the allow-list, the vector contract and its adapters."""
