"""Trainings of the studio, their predictions, and the processes that make both."""
