"""The HTTP endpoints, thin: parse, call one use case, return."""
