"""What methods are made of: networks, losses, averages, optimisers."""
