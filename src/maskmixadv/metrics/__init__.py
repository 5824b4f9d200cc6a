"""Figures of predicted masks: overlap, distances, volumes."""
