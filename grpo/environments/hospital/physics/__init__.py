"""The event loop and all that happens in it: numba kernels over arrays, the only physics."""
