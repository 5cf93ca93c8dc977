"""The hospital: scenarios, simulator, observation, rules and recommendations."""
