"""Runs: their settings and records, checkpoints and logs."""
