"""Plug-in instrument (VST2, VST3, Audio Unit) as a synthesizer."""

from __future__ import annotations

import hashlib
import os
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from pnp._text import did_you_mean
from pnp.parameters import Parameter, ParameterSpace
from pnp.synths.black_box import BlackBox
from pnp.synths.plugin_host import Host, host
from pnp.synths.plugin_parameters import PluginParameters, read_parameters

__all__ = ["Plugin"]

_CHANNELS = ("mix", "concatenate")

_HIGHEST = 127

# Bytes of a plug-in that are read at a time to tell versions apart.
_CHUNK = 1 << 20


class Plugin(BlackBox):
    """Plug-in instrument as a synthesizer, with finite differences for derivatives.

    Hosts VST2, VST3 and Audio Unit instruments by DawDreamer (`pip install pnp-metric[plugin]`). Each process loads the
    plug-in once. A note is rendered until two renders agree bit for bit, because the first after each change of
    parameters differs in most plug-ins.

    Start with the table of `Plugin.parameters_of(path)` and the space of its `proposal()`; narrow ranges, drop what
    you do not want, and give options names. A continuous parameter is the position of its knob, from 0 to 1. A choice
    has the plug-in's texts for options, some of them, or as many names of your own. An integer is a setting whose text
    is that number.

    Args:
        path: The plug-in: a VST2 library, a VST3 bundle or library, or an Audio Unit component.
        parameters: Space of parameters, named as in `Plugin.parameters_of(path)`; or some of these names, or None for
            all, for the proposed space. Also a file with, or the dictionary of, `ParameterSpace.to_json`. An integer
            or a condition of the space that is called "note" or "velocity" is that of MIDI.
        note: MIDI note; or an integer `Parameter`, which becomes a condition.
        velocity: MIDI velocity, likewise.
        hold: Seconds for which the key is held; three quarters of the sound by default.
        settings: Values of other parameters of the plug-in: a position from 0 to 1, or the text of an option.
        channels: "mix" for the mean of the channels, or "concatenate" for one after the other.
        renew: Load the plug-in anew for each sound. Slow, but an oscillator that runs freely starts the same way.
        sample_rate: Sampling rate in Hz.
        n_samples: Number of samples N of a sound.
        steps: Step in unit coordinates in place of the measured ones: a number for all parameters, or by name.
        tolerance: Relative disagreement of finite differences beyond which there is no derivative: a number for all
            parameters, or by name.
        version: Anything that changes when the plug-in does; a hash of its file by default.
        normalization: "none", "peak" or "energy".
        ranges: From parameter name to (low, high) in place of those of the space.

    Attributes:
        path: The plug-in.

    Raises:
        ImportError: If DawDreamer is not installed.
        FileNotFoundError: If there is nothing at the path.
        ValueError: If it is no plug-in, lacks a parameter or an option, or an option is out of its range.

    Source:
        Braun, "DawDreamer: Bridging the gap between digital audio workstations and Python interfaces", ISMIR
        late-breaking demo 2021.

    Examples:
        >>> path = "/usr/lib/vst/amsynth_vst.so"
        >>> print(pnp.synths.Plugin.parameters_of(path))  # doctest: +SKIP
        >>> space = pnp.ParameterSpace(
        ...     [
        ...         pnp.Parameter("filter_cutoff", 0.2, 0.9),
        ...         pnp.Parameter("osc1_waveform", choices=("sine", "pulse", "saw", "noise", "random")),
        ...     ],
        ...     conditions=[pnp.Parameter("note", 36, 84, kind="integer")],
        ... )  # doctest: +SKIP
        >>> synth = pnp.synths.Plugin(path, space, settings={"amp_release": 0.3})  # doctest: +SKIP
    """

    name = "plugin"

    def __init__(
        self,
        path: str | os.PathLike[str],
        parameters: ParameterSpace | Mapping[str, Any] | Iterable[str] | str | None = None,
        *,
        note: int | Parameter = 60,
        velocity: int | Parameter = 100,
        hold: float | None = None,
        settings: Mapping[str, float | str] | None = None,
        channels: str = "mix",
        renew: bool = False,
        sample_rate: float = 44100.0,
        n_samples: int = 44100,
        steps: float | Mapping[str, float] | None = None,
        tolerance: float | Mapping[str, float] = 0.1,
        version: str | None = None,
        normalization: str = "none",
        ranges: Mapping[str, Sequence[float]] | None = None,
    ) -> None:
        self.path = os.fspath(path)
        known = self.parameters_of(self.path, sample_rate)
        midi = {"note": note, "velocity": velocity}
        space = _space(known, parameters, midi)
        program = _Program(
            self.path, known, space, midi, settings or {}, channels, renew, sample_rate, n_samples, hold
        )
        super().__init__(
            program,
            space,
            sample_rate,
            n_samples,
            steps=steps,
            tolerance=tolerance,
            version=_version_of(self.path) if version is None else version,
            normalization=normalization,
            ranges=ranges,
        )

    @staticmethod
    def parameters_of(path: str | os.PathLike[str], sample_rate: float = 44100.0) -> PluginParameters:
        """Read the parameters of a plug-in: names, kinds, positions after loading, and texts.

        Args:
            path: The plug-in.
            sample_rate: Sampling rate in Hz.

        Returns:
            Parameters, which print as a table and propose a space.

        Raises:
            ImportError: If DawDreamer is not installed.
            FileNotFoundError: If there is nothing at the path.
            ValueError: If it is no plug-in.
        """
        loaded = host(os.fspath(path), sample_rate)
        return read_parameters(loaded, Path(path).stem)

    def config(self) -> dict[str, Any]:
        """Settings that determine the sounds, for JSON: `make(**synth.config())` is the same synthesizer."""
        program = self.program
        assert isinstance(program, _Program)
        return {
            "name": self.name,
            "path": self.path,
            "parameters": program.space.to_dict(),
            "note": program.midi["note"],
            "velocity": program.midi["velocity"],
            "hold": program.hold,
            "settings": program.settings,
            "channels": program.channels,
            "renew": program.renew,
            "sample_rate": self.sample_rate,
            "n_samples": self.n_samples,
            "steps": self.steps,
            "tolerance": self.tolerance,
            "version": self.version,
            "normalization": self.normalization,
            "ranges": self.ranges,
        }


class _Program:
    """Function from named values to samples; it travels as a recipe, and the plug-in stays."""

    def __init__(
        self,
        path: str,
        known: PluginParameters,
        space: ParameterSpace,
        midi: Mapping[str, int | Parameter],
        settings: Mapping[str, float | str],
        channels: str,
        renew: bool,
        sample_rate: float,
        n_samples: int,
        hold: float | None,
    ) -> None:
        if channels not in _CHANNELS:
            raise ValueError(
                f"channels must be 'mix' or 'concatenate', got {channels!r}{did_you_mean(str(channels), _CHANNELS)}"
            )
        self.path, self.space, self.channels, self.renew = path, space, channels, renew
        self.sample_rate, self.n_samples = float(sample_rate), n_samples
        self.midi = {
            # A note that varies comes with each sound.
            name: 0 if name in space.column_names else _midi(name, value)
            for name, value in midi.items()
        }
        self.settings = dict(settings)
        both = [name for name in self.settings if name in space.column_names]
        if both:
            raise ValueError(f"parameter {both[0]!r} is in the space and in settings; give one of both")
        self.parts = 1
        if channels == "concatenate":
            self.parts = host(path, sample_rate).plugin.get_num_output_channels()
            if n_samples % self.parts:
                raise ValueError(
                    f"n_samples must be a multiple of the {self.parts} channels, one after the other, got {n_samples}"
                )
        length = n_samples / self.parts / self.sample_rate
        self.hold = 0.75 * length if hold is None else float(hold)
        if not self.hold > 0:
            raise ValueError(f"hold must be a positive number of seconds, got {hold}")
        self._columns = {p.name: p for p in space.columns}
        self._known = {name: known[name] for name in self._columns if name in known.names}
        self._gliding = {p.index for p in known.own if not p.is_discrete}
        # Set before each sound, for synthesizers of one process share an instance.
        self._still = {p.index: p.default for p in known.own if p.name not in self._columns}
        self._still |= {
            known[name].index: known[name].setting(value) for name, value in self.settings.items()
        }

    @property
    def __name__(self) -> str:
        return Path(self.path).name

    def __call__(self, **values: float | str) -> np.ndarray:
        positions = dict(self._still)
        for name, known in self._known.items():
            positions[known.index] = known.position(self._columns[name], values[name])
        note, velocity = (int(values.get(name, fixed)) for name, fixed in self.midi.items())
        length = self.n_samples // self.parts
        if self.renew:
            instance = Host(self.path, self.sample_rate)
            instance.move(positions)
            played = instance.play(note, velocity, self.hold, length)
        else:
            shared = host(self.path, self.sample_rate)
            played = shared.play_settled(positions, self._gliding, note, velocity, self.hold, length)
        return played.reshape(-1) if self.channels == "concatenate" else played.mean(0, dtype=np.float64)


def _space(
    known: PluginParameters,
    parameters: ParameterSpace | Mapping[str, Any] | Iterable[str] | str | None,
    midi: Mapping[str, int | Parameter],
) -> ParameterSpace:
    """Return the space that was given or is proposed, with a condition for each of note and velocity that varies."""
    varying = [value for value in midi.values() if isinstance(value, Parameter)]
    for name, value in midi.items():
        if isinstance(value, Parameter) and value.name != name:
            raise ValueError(f"a {name} that varies must be a parameter of that name, got {value.name!r}")
    if isinstance(parameters, (str, os.PathLike)):
        parameters = ParameterSpace.from_json(Path(parameters).read_text("utf-8"))
    elif isinstance(parameters, Mapping):
        parameters = ParameterSpace.from_dict(parameters)
    if not isinstance(parameters, ParameterSpace):
        return _checked(known, known.proposal(parameters, varying))
    repeated = [value.name for value in varying if value.name in parameters.column_names]
    if repeated:
        raise ValueError(f"the space has a {repeated[0]} already; give it once")
    if varying:
        described = parameters.to_dict()
        described["conditions"] = [
            *described.get("conditions", []),
            *(value.to_dict() for value in varying),
        ]
        parameters = ParameterSpace.from_dict(described)
    return _checked(known, parameters)


def _checked(known: PluginParameters, space: ParameterSpace) -> ParameterSpace:
    for parameter in space.columns:
        if parameter.name in known.names:
            known[parameter.name].check(parameter)
        elif parameter.name not in ("note", "velocity"):
            known[parameter.name]  # which says what there is
        elif parameter.kind != "integer" or not 0 <= parameter.low < parameter.high <= _HIGHEST:
            raise ValueError(
                f"a {parameter.name} that varies must be an integer in [0, {_HIGHEST}], got {parameter}"
            )
    return space


def _midi(name: str, value: int | Parameter) -> int:
    if isinstance(value, bool) or not isinstance(value, int) or not 0 <= value <= _HIGHEST:
        raise ValueError(f"{name} must be a whole number from 0 to {_HIGHEST}, or a Parameter, got {value!r}")
    return value


def _version_of(path: str) -> str:
    """Return a hash of the plug-in's file, or of the files of its bundle."""
    root, digest = Path(path), hashlib.sha256()
    for file in sorted(p for p in root.rglob("*") if p.is_file()) if root.is_dir() else [root]:
        with file.open("rb") as stream:
            while chunk := stream.read(_CHUNK):
                digest.update(chunk)
    return digest.hexdigest()[:16]
