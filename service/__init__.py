"""The records and the HTTP face."""
