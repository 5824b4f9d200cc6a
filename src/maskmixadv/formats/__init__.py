"""Image files of every known format in, labels on their grid out."""
