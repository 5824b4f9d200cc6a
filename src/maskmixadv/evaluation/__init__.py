"""Runs scored, and shown to people."""
