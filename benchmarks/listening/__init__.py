"""Listeners' ratings of timbre as a benchmark of feature maps: the parts of `benchmarks/listeners.py`."""
