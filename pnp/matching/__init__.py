"""Sound matching by optimization: a recording in, synthesizer parameters out."""
