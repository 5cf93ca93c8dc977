"""Networks, their normalisation, their inference without torch, and how they are stored."""
