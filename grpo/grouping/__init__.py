"""Who belongs to which group: declarative specs and what they mean for an environment."""
