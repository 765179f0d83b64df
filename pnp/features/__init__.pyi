from .compression import Features as Features
from .multiscale import MultiscaleSTFT as MultiscaleSTFT
from .scattering.transform import TimeFrequencyScattering as TimeFrequencyScattering
from .spectrogram import MultiscaleSpectrogram as MultiscaleSpectrogram
from .standard import scattering_settings as scattering_settings
from .standard import standard_features as standard_features
