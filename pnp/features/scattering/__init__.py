"""Joint time-frequency scattering with fast tangents."""

from pnp.features.scattering.transform import TimeFrequencyScattering

__all__ = ["TimeFrequencyScattering"]
