"""Feature maps Φ: what is compared when two sounds are compared.

Names are resolved on first use: a compression on top of one's own representation loads no scattering transform.
"""

import lazy_loader

__getattr__, __dir__, __all__ = lazy_loader.attach_stub(__name__, __file__)
