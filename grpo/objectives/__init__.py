"""The equations: pure functions on tensors. Nothing here trains, draws or stores."""
