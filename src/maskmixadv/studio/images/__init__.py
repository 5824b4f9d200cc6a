"""Images as the studio takes them in."""
