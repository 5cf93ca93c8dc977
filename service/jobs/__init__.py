"""Training jobs: their record, its transitions and the bell that announces them."""
