"""Offline stage: from synthesizer and feature map to a cache of metrics."""
