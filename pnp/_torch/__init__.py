"""What this package asks of PyTorch beyond its public surface, and compiled loops beside it."""
