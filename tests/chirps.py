"""Short chirps in a cache, to be matched."""

from pathlib import Path

import torch

import pnp
from pnp.features.standard import standard_features
from pnp.matching.catalogue import Catalogue

SYNTH = pnp.synths.make("chirp", n_samples=1024, sample_rate=4096.0)
# Parameters of the one that is matched.
U = torch.tensor([0.31, -0.42, 0.17], dtype=torch.float64)


def catalogue_of_chirps(folder: Path, size: int) -> Catalogue:
    """Catalogue of a new cache."""
    phi = standard_features(SYNTH, J=6, Q=(8, 1), Q_fr=1, J_fr=3, F=2, pad_mode="zero")
    path = folder / "chirp.h5"
    pnp.precompute(SYNTH, phi, path, size=size, store=("S",), progress=False)
    with pnp.MetricCache(path) as cache:
        return Catalogue.from_cache(cache, SYNTH, phi)
