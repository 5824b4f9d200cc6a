"""The parts that methods are built from: networks, losses, averages of weights, optimisers."""
