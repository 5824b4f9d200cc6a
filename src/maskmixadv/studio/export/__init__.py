"""Exports of the studio: masks, segmentations, meshes, pictures, volumes, the model, and a data set for nnU-Net."""
