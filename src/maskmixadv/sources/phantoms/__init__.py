"""Patients made up, with known truth."""
