"""Eight synthesizers, and one experiment over all of them."""
