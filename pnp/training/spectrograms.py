"""Spectrograms of the sounds of a cache, as an encoder takes them in."""

from __future__ import annotations

import logging
from collections.abc import Callable

import torch
from torch import Tensor

from pnp._progress import Bar
from pnp._protocols import SynthesizerLike
from pnp._torch.modes import full_precision
from pnp.training.front_end import LogFrequencySpectrogram

__all__ = ["Spectrograms"]

_LOGGER = logging.getLogger(__name__)

# Spectrograms up to this size are computed once and kept; beyond, they are made anew for each batch.
_MOST_BYTES = 2 * 2**30
# Sounds synthesized at a time.
_CHUNK = 32


class Spectrograms:
    """Input of an encoder for rows of a cache: kept if it fits into memory, made on demand if not.

    Args:
        front_end: Front end of the encoder.
        synth: Synthesizer.
        theta: Physical parameters of all rows, shape (n, P).
        rows: Rows that will be asked for, shape (m,).
        device: Device of the batches.
        most_bytes: Memory for keeping; 0 to make every batch on demand.
        progress: Show a progress bar over making what is kept.
    """

    def __init__(
        self,
        front_end: LogFrequencySpectrogram,
        synth: SynthesizerLike,
        theta: Tensor,
        rows: Tensor,
        device: torch.device,
        *,
        most_bytes: int = _MOST_BYTES,
        progress: bool = False,
    ) -> None:
        self.front_end, self.synth, self.device = front_end, synth, device
        self.theta = theta.float()
        self._place = torch.full((len(theta),), -1)
        self._kept: Tensor | None = None
        first = self._make(rows[:1])
        if first.nbytes * len(rows) > most_bytes:
            _LOGGER.info("spectrograms of %d sounds do not fit into memory: made for each batch", len(rows))
            return
        chunks = Bar(
            torch.split(rows, _CHUNK), desc="sounds", unit="batch", disable=not progress, leave=False
        )
        self._kept = torch.cat([self._make(chunk) for chunk in chunks])
        self._place[rows] = torch.arange(len(rows))

    def __call__(self, rows: Tensor) -> Tensor:
        """Spectrograms of some rows, shape (B, W, K, frames)."""
        if self._kept is None:
            return torch.cat([self._make(chunk) for chunk in torch.split(rows, _CHUNK)])
        return self._kept[self._place[rows].to(self._kept.device)]

    @torch.no_grad()
    def derived(self, function: Callable[[Tensor], Tensor]) -> Callable[[Tensor], Tensor] | None:
        """Apply a function to each spectrogram once; return results as a function of rows, or None if none is kept."""
        if self._kept is None:
            return None
        made = torch.cat([function(part) for part in torch.split(self._kept, _CHUNK)])
        return lambda rows: made[self._place[rows].to(made.device)]

    def check_serve(self, front_end: LogFrequencySpectrogram, rows: Tensor) -> None:
        """Check that these are what a front end would make of some rows.

        Args:
            front_end: Front end of the encoder that wants them.
            rows: Rows that will be asked for, shape (m,).

        Raises:
            ValueError: If they were made by another front end, or without one of the rows.
        """
        ours, theirs = self.front_end.config(), front_end.config()
        if ours != theirs:
            raise ValueError(
                f"Spectrograms were made with {ours}; the encoder takes those made with {theirs}."
            )
        missing = rows[self._place[rows] < 0] if self._kept is not None else rows[:0]
        if len(missing):
            raise ValueError(f"Spectrograms were made without row {int(missing[0])}, which is asked for.")

    @torch.no_grad()
    def of_sounds(self, sounds: Tensor) -> Tensor:
        """Spectrograms of sounds on any device, shape (B, N), on the device of this one."""
        sounds = sounds.to(self.device)
        with full_precision(sounds):
            spectrograms: Tensor = self.front_end(sounds)
        return spectrograms

    @torch.no_grad()
    def sounds(self, rows: Tensor) -> Tensor:
        """Sounds of some rows, shape (B, N)."""
        theta = self.theta[rows]
        with full_precision(theta):
            made: Tensor = self.synth(theta)
        return made

    def _make(self, rows: Tensor) -> Tensor:
        return self.of_sounds(self.sounds(rows))
