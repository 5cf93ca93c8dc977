"""Programs that measure: each prints a table, and none is part of the product."""
