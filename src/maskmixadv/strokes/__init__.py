"""Strokes: drawn from masks, enclosed, spread by random walks."""
