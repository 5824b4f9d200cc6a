"""Trainings of the studio, and what they predict."""
