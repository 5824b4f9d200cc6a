"""Synthetic patients (phantoms), whose truth is known."""
