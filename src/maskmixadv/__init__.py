"""Learn to segment medical images from a few scribbles per slice, and compare the ways of doing so fairly."""

__version__ = "0.1.0"
