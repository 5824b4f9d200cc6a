"""What the studio answers to requests."""
