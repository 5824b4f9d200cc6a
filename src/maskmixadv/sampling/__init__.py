"""Slices of a fold as tensors: on one grid, on the device, augmented."""
