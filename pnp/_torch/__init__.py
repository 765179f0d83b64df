"""Requests to PyTorch beyond its public surface, and compiled loops beside it."""
