"""Reviews of predictions: what people said, which slices come next, clinical measures."""
