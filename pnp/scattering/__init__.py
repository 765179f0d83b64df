"""Joint time-frequency scattering with fast tangents."""

from .transform import TimeFrequencyScattering

__all__ = ["TimeFrequencyScattering"]
