"""Slices for training: from a corpus's cases to augmented batches."""
