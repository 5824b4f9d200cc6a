"""Evaluation: runs are scored, and the scores become a report."""
