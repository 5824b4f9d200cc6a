"""Training: runs are begun, trained, logged and saved."""
