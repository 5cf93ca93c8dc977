"""Rules and policies against each other, on the same patients."""
