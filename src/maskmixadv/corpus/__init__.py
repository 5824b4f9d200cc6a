"""A corpus: cases, one file each, and an index of them."""
