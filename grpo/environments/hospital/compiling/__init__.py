"""From a scenario to arrays."""
