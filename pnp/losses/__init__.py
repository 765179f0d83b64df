"""Losses between predicted and true synthesizer parameters, behind one call: `loss(u_hat, u, index)`.

- `ParameterLoss`: ½‖Δu‖², blind to what is heard;
- `PNPLoss`: ½ Δuᵀ M Δu with the precomputed metric M of each sound, at nearly the same price;
- `SurrogateLoss`: ½‖Φ̃(û) − Φ̃(u)‖² with Φ̃ interpolated between the sounds of a cache, good far away too;
- `SpectralLoss`: ½‖Φ(g(û)) − Φ(g(u))‖², which the two before approximate, through synthesizer and features each
  time.

Choices have losses of their own, called as `loss(probabilities, index)`, which are added to one of these:

- `ChoiceLoss`: the expected squared distance between options, in the unit of PNP loss;
- `ChoiceCrossEntropy`: the peer beside P-loss.

Here u are parameters scaled to the cube [−1, 1]^P and Δu = û − u. All of them carry the factor ½ and none
divides by the number of parameters or features, so that PNP loss is the expansion of spectral loss to second
order in Δu.
"""

from pnp.losses.choice import ChoiceLoss
from pnp.losses.cross_entropy import ChoiceCrossEntropy
from pnp.losses.parameter import ParameterLoss
from pnp.losses.pnp import LARGEST_DAMPING, PNPLoss
from pnp.losses.spectral import SpectralLoss
from pnp.losses.surrogate import SurrogateLoss

__all__ = [
    "LARGEST_DAMPING",
    "ChoiceCrossEntropy",
    "ChoiceLoss",
    "PNPLoss",
    "ParameterLoss",
    "SpectralLoss",
    "SurrogateLoss",
]
