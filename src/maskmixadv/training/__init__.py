"""A run's course: begun, stepped, logged, saved."""
