"""Loss landscapes: what descent on a loss sees, for multiscale spectrograms and for scattering."""
