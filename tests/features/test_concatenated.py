"""Features of several maps, one after another."""

import torch
from torch import nn

from pnp._torch.pushforward import pushforward
from pnp.features.band_spectrogram import BandSpectrogram
from pnp.features.concatenated import Concatenated


def test_features_and_tangents_are_those_of_the_maps() -> None:
    generator = torch.Generator().manual_seed(7)
    x = torch.randn(2, 256, generator=generator, dtype=torch.float64)
    dx = torch.randn(2, 3, 256, generator=generator, dtype=torch.float64)
    # One has tangents of its own, the other has not, and its features are no vector.
    bands, cells = BandSpectrogram(256, floor=0.1).double(), nn.Unflatten(1, (16, 16))
    both = Concatenated([bands, nn.Sequential(cells, nn.Softplus())])
    S, dS = both.value_and_tangents(x, dx)
    torch.testing.assert_close(S, both(x))
    torch.testing.assert_close(S[:, : bands(x).shape[1]], bands(x))
    torch.testing.assert_close(dS, pushforward(lambda y: both(y), x, dx)[1])
