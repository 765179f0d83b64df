"""The package's own exceptions; everything else is a built-in one."""

__all__ = [
    "CacheBusy",
    "CacheConfigMismatch",
    "CacheCorrupt",
    "CacheError",
    "NoSoundError",
    "OwnCodeError",
    "PnpError",
    "SynthesisError",
]


class PnpError(RuntimeError):
    """Base class of the package's own exceptions."""


class CacheError(PnpError):
    """A metric cache cannot be read or written."""


class CacheConfigMismatch(CacheError):  # noqa: N818
    """The file on disk was made with another configuration than the one asked for."""


class CacheCorrupt(CacheError):  # noqa: N818
    """The file on disk is not, or no longer, what was written."""


class CacheBusy(CacheError):  # noqa: N818
    """Another process is writing the same cache."""


class SynthesisError(PnpError):
    """Sounds could not be synthesized or analysed, so that a run cannot begin or end.

    Args:
        reason: Reason, in a sentence.
        where: Parameters of the sound, for messages; records of many sounds keep the reason alone.
    """

    def __init__(self, reason: str, where: str = "") -> None:
        super().__init__(reason, where)
        self.reason = reason
        self.where = where

    def __str__(self) -> str:
        return f"{self.reason} ({self.where})" if self.where else self.reason


class OwnCodeError(PnpError):
    """Code that a user named on the command line raised an error, which is the cause of this one.

    Args:
        reason: Reason, in a sentence.
        path: File of the code.
    """

    def __init__(self, reason: str, path: str = "") -> None:
        super().__init__(reason, path)
        self.reason = reason
        self.path = path

    def __str__(self) -> str:
        return self.reason


class NoSoundError(SynthesisError):
    """A synthesizer made no sound: it has NaN or infinite samples, or is silent.

    Args:
        reason: Reason, in a sentence.
        silent: True where it is silent.
    """

    def __init__(self, reason: str, *, silent: bool = False) -> None:
        super().__init__(reason)
        self.silent = silent
