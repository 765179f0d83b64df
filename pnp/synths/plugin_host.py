"""Plug-in in a process of ours: loaded once, and rendered until it repeats itself."""

from __future__ import annotations

import atexit
import os
from collections.abc import Collection, Iterator, Mapping
from contextlib import contextmanager
from functools import lru_cache
from pathlib import Path
from typing import Any

import numpy as np

from pnp.errors import SynthesisError

__all__ = ["Host", "host"]

# Samples that the plug-in computes at a time.
_BUFFER = 512

# Renders of the same note after which a plug-in counts as one that does not repeat itself.
_MOST_RENDERS = 8

# Seconds that a parameter gets at least to glide to 0.
_GLIDE = 0.25

# Plug-ins that stay loaded in a process.
_LOADED = 4


class Host:
    """Instance of a plug-in instrument, and the engine that plays it.

    Args:
        path: The plug-in: a VST2 library, a VST3 bundle or library, or an Audio Unit component.
        sample_rate: Sampling rate in Hz.

    Raises:
        ImportError: If DawDreamer is not installed.
        FileNotFoundError: If there is nothing at the path.
        ValueError: If the file is not a plug-in of this machine.
    """

    def __init__(self, path: str, sample_rate: float) -> None:
        try:
            import dawdreamer
        except ImportError as error:
            raise ImportError(
                "Plug-ins need DawDreamer; install it with `pip install pnp-metric[plugin]`."
            ) from error
        if not Path(path).exists():
            raise FileNotFoundError(f"there is no plug-in {path!r}")
        self.path, self.sample_rate = path, float(sample_rate)
        self._settled = dict[int, float]()
        self._engine = dawdreamer.RenderEngine(self.sample_rate, _BUFFER)
        try:
            with _silence():
                self.plugin: Any = self._engine.make_plugin_processor("plugin", str(Path(path).resolve()))
        except RuntimeError as error:
            raise ValueError(
                f"{path!r} cannot be loaded as a plug-in; expected a VST2 library, a VST3 bundle or an Audio Unit "
                "component for this operating system and processor"
            ) from error

    def play(self, note: int, velocity: int, hold: float, n_samples: int) -> np.ndarray:
        """Play one note from silence.

        Args:
            note: MIDI note.
            velocity: MIDI velocity.
            hold: Seconds for which the key is held.
            n_samples: Number of samples of a channel.

        Returns:
            Samples of all channels, shape (channels, N), float32.
        """
        # Loading the graph suspends and resumes the plug-in: voices and tails of the note before are gone.
        self._engine.load_graph([(self.plugin, [])])
        self.plugin.clear_midi()
        self.plugin.add_midi_note(note, velocity, 0.0, hold)
        # Half a sample more, so that rounding does not cost the last one.
        self._engine.render((n_samples + 0.5) / self.sample_rate)
        played: np.ndarray = self._engine.get_audio()[:, :n_samples].copy()
        return played

    def move(self, positions: Mapping[int, float]) -> None:
        """Move parameters.

        Args:
            positions: From the index of a parameter to its position, from 0 to 1.
        """
        for index, position in positions.items():
            self.plugin.set_parameter(index, position)

    def play_settled(
        self,
        positions: Mapping[int, float],
        gliding: Collection[int],
        note: int,
        velocity: int,
        hold: float,
        n_samples: int,
    ) -> np.ndarray:
        """Play one note over and over, until two renders agree bit for bit.

        The first render after a change differs in most plug-ins: parameters glide, and slow oscillators run on. A
        glide stops a few roundings short of its end, on the side that it came from. So a parameter that changes is
        first moved to 0, and comes to every value from the same side.

        Args:
            positions: From the index of a parameter to its position, from 0 to 1.
            gliding: Indices of the continuous parameters.
            note: MIDI note.
            velocity: MIDI velocity.
            hold: Seconds for which the key is held.
            n_samples: Number of samples of a channel.

        Returns:
            Samples of all channels, shape (channels, N), float32.

        Raises:
            SynthesisError: If no two renders in a row agree.
        """
        changed = [index for index, position in positions.items() if self._settled.get(index) != position]
        # Until it is known to have settled, nothing is.
        self._settled.clear()
        home = dict.fromkeys((index for index in changed if index in gliding), 0.0)
        if home:
            self.move(home)
            self.play(note, velocity, hold, max(n_samples, round(_GLIDE * self.sample_rate)))
        self.move(positions)
        previous = self.play(note, velocity, hold, n_samples)
        for _ in range(_MOST_RENDERS - 1):
            played = self.play(note, velocity, hold, n_samples)
            if np.array_equal(played, previous):
                self._settled.update(positions)
                return played
            previous = played
        raise SynthesisError(
            f"the plug-in {Path(self.path).name!r} does not repeat itself: no two of {_MOST_RENDERS} renders of the "
            "same note agree; likely noise, or an oscillator that runs freely. Leave that option out of the space, or "
            "load the plug-in anew for each sound (renew=True)"
        )


@contextmanager
def _silence() -> Iterator[None]:
    """Drop what a plug-in and its host write to standard error while it is loaded, in every worker."""
    kept, nowhere = os.dup(2), os.open(os.devnull, os.O_WRONLY)
    os.dup2(nowhere, 2)
    try:
        yield
    finally:
        os.dup2(kept, 2)
        os.close(kept)
        os.close(nowhere)


@lru_cache(maxsize=_LOADED)
def _host(path: str, sample_rate: float, process: int) -> Host:
    del process  # an instance does not survive a fork
    return Host(path, sample_rate)


# The library reports what is still loaded when the interpreter ends as leaks.
atexit.register(_host.cache_clear)


def host(path: str, sample_rate: float) -> Host:
    """Return the instance of a plug-in in this process, loaded at the first call.

    Args:
        path: The plug-in.
        sample_rate: Sampling rate in Hz.

    Returns:
        The instance that every caller of this process shares.
    """
    return _host(path, float(sample_rate), os.getpid())
