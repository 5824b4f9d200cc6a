"""The HTTP server of the studio."""
