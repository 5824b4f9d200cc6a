"""What people said of predictions."""
