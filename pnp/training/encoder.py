"""A small network from sound to synthesizer parameters, for demonstrations and comparisons of losses."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import torch
from jaxtyping import Float
from torch import Tensor, nn

from pnp._arguments import check_keywords, finite_number, whole_number, whole_numbers
from pnp.parameters import ParameterSpace
from pnp.training.front_end import LogFrequencySpectrogram, log_frequency_bank

__all__ = ["Encoder"]

# û, or û and probabilities by choice.
Prediction = Tensor | tuple[Tensor, dict[str, Tensor]]

# From the slowest modulation that is looked for to half the frame rate.
_MODULATION_OCTAVES = 6.0


class Encoder(nn.Module):
    """Convolutional network from sounds to parameters in the unit cube.

    Spectrograms, standardized per channel and band, go two ways: through convolutions over time and
    frequency, which see shapes such as a chirp's slope, and are then pooled over time; and through a Fourier
    transform of each band along time, whose magnitude shows rates of events wherever they are, and
    convolutions over that. Two dense layers join both. Neither way changes much when a sound is shifted in
    time, which is not heard either.

    The output is z / √(1 + z²), and z is 0 before training: the network begins at the centre of the cube. A
    tanh would lose its gradient exponentially on the way to a wrong corner, and does not come back from
    there.

    Conditions, such as a MIDI note, enter the dense layers as they are. Where the space has choices, the network also
    answers with probabilities of their options, which are all equal before training.

    `forward` is `body(front_end(x))`: a training loop computes the front end, which has nothing to learn,
    once.

    Args:
        space: Parameters to predict, P of them, with their choices and conditions.
        sample_rate: Sampling rate of the sounds in Hz.
        n_channels: Channels of the convolutions over time and frequency, each of which halves both axes.
        n_modulation_channels: Channels of the convolutions over modulation and audio frequency, each of which
            halves the latter.
        n_modulations: Bands of modulation frequency, even in its logarithm.
        n_hidden: Units of the dense layer.
        front_end: Options of `LogFrequencySpectrogram`.
    """

    offset: Tensor
    deviation: Tensor

    def __init__(
        self,
        space: ParameterSpace,
        sample_rate: float,
        *,
        n_channels: Sequence[int] = (12, 24, 32, 48),
        n_modulation_channels: Sequence[int] = (12, 24, 24),
        n_modulations: int = 32,
        n_hidden: int = 128,
        front_end: dict[str, Any] | None = None,
    ) -> None:
        super().__init__()
        self.space = space
        self.sample_rate = finite_number("sample_rate", sample_rate, above=0)
        self.n_channels = whole_numbers("n_channels", n_channels, least=1)
        self.n_modulation_channels = whole_numbers("n_modulation_channels", n_modulation_channels, least=1)
        self.n_modulations = n_modulations = whole_number("n_modulations", n_modulations, least=1)
        self.n_hidden = n_hidden = whole_number("n_hidden", n_hidden, least=1)
        check_keywords("the front end", front_end or {}, LogFrequencySpectrogram)
        self.front_end_options = dict(front_end or {})
        self.front_end = LogFrequencySpectrogram(sample_rate, **self.front_end_options)
        n_windows, n_bands = len(self.front_end.windows), self.front_end.n_bands
        self.register_buffer("offset", torch.zeros(n_windows, n_bands, 1))
        self.register_buffer("deviation", torch.ones(n_windows, n_bands, 1))
        self.shapes = _convolutions(n_windows, self.n_channels, stride=(2, 2))
        self.modulations = _convolutions(n_windows, self.n_modulation_channels, stride=(2, 1))
        n_shapes = 2 * self.n_channels[-1] * math.ceil(n_bands / 2 ** len(self.n_channels))
        n_rates = 2 * self.n_modulation_channels[-1] * n_modulations
        n_options = sum(len(choice.choices) for choice in space.choices)
        output = nn.Linear(n_hidden, len(space) + n_options)
        nn.init.zeros_(output.weight)
        nn.init.zeros_(output.bias)
        self.dense = nn.Sequential(
            nn.Linear(n_shapes + n_rates + len(space.told), n_hidden),
            nn.ReLU(),
            output,
        )

    def standardize(self, spectrograms: Tensor) -> None:
        """Set offset and scale of the input from the front end's output over training sounds.

        Args:
            spectrograms: Output of `front_end`, shape (n, W, K, frames).
        """
        self.offset.copy_(spectrograms.mean((0, 3))[..., None])
        # One scale a channel: bands that hold nothing but the tails of others are not blown up to equal size.
        centred = spectrograms - self.offset
        self.deviation.copy_(centred.square().mean((0, 2, 3), keepdim=True)[0].sqrt().clamp(min=1e-6))

    def body(
        self, spectrograms: Tensor, rates: Tensor | None = None, conditions: Tensor | None = None
    ) -> Prediction:
        """Predict parameters from spectrograms.

        Args:
            spectrograms: Output of `front_end`, shape (B, W, K, frames).
            rates: Result of `rates`, where it is known already; it has nothing to learn either.
            conditions: Conditions of the sounds, scaled to [-1, 1], shape (B, Q), where the space has some.

        Returns:
            û in (−1, 1), shape (B, P); where the space has choices, a pair of û and probabilities by choice, each of
            shape (B, options).

        Raises:
            ValueError: If conditions are missing, or their shape does not fit.
        """
        standardized = (spectrograms - self.offset) / self.deviation
        if rates is None:
            rates = self._rates(standardized)
        pooled = []
        for maps, axis in ((self.shapes(standardized), -1), (self.modulations(rates), -2)):
            pooled += [maps.mean(axis).flatten(1), maps.amax(axis).flatten(1)]
        if self.space.told:
            pooled.append(self._checked(conditions, len(spectrograms)).to(pooled[0]))
        output: Tensor = self.dense(torch.cat(pooled, dim=1))
        z = output[:, : len(self.space)]
        u_hat = z * torch.rsqrt(1 + z.square())
        if not self.space.choices:
            return u_hat
        sizes = [len(choice.choices) for choice in self.space.choices]
        logits = output[:, len(self.space) :].split(sizes, dim=1)
        named = zip(self.space.choices, logits, strict=True)
        return u_hat, {choice.name: part.softmax(-1) for choice, part in named}

    def _checked(self, conditions: Tensor | None, n_sounds: int) -> Tensor:
        """Refuse conditions that are not there, or not those of the sounds."""
        names = ", ".join(condition.name for condition in self.space.told)
        expected = (n_sounds, len(self.space.told))
        if conditions is None:
            raise ValueError(
                f"This encoder needs the conditions of each sound, {names}: encoder(x, conditions), scaled to "
                "[-1, 1] as in batch['conditions']."
            )
        if tuple(conditions.shape) != expected:
            raise ValueError(
                f"Conditions must have shape (B, Q) = {expected}, one column for each of {names}; got "
                f"{tuple(conditions.shape)}."
            )
        return conditions

    def rates(self, spectrograms: Tensor) -> Float[Tensor, "B W K n_modulations"]:
        """Compressed magnitudes of the modulations in each band of standardized spectrograms.

        Args:
            spectrograms: Output of `front_end`, shape (B, W, K, frames).

        Returns:
            Magnitudes, shape (B, W, K, n_modulations).
        """
        return self._rates((spectrograms - self.offset) / self.deviation)

    def _rates(self, standardized: Tensor) -> Tensor:
        fluctuations = standardized - standardized.mean(-1, keepdim=True)
        n_frames = fluctuations.shape[-1]
        spectrum = torch.fft.rfft(fluctuations, norm="ortho").abs()
        rate = self.front_end.sample_rate / self.front_end.hop
        bank = log_frequency_bank(rate, n_frames, self.n_modulations, _MODULATION_OCTAVES)
        return torch.log1p(torch.matmul(spectrum, bank.to(spectrum).T))

    def forward(self, x: Tensor, conditions: Tensor | None = None) -> Prediction:
        """Predict parameters from sounds.

        Args:
            x: Sounds, shape (B, N).
            conditions: Conditions of the sounds, scaled to [-1, 1], shape (B, Q), where the space has some.

        Returns:
            û in (−1, 1), shape (B, P); where the space has choices, a pair of û and probabilities by choice, each of
            shape (B, options).

        Raises:
            ValueError: If conditions are missing, or their shape does not fit.
        """
        spectrograms = self.front_end(x)
        return self.body(spectrograms, conditions=conditions) if self.space.told else self.body(spectrograms)

    def check_fits(self, space: ParameterSpace, sample_rate: float, sounds: str) -> None:
        """Check that sounds are of the kind that this network was made for.

        Args:
            space: Their parameters.
            sample_rate: Their sampling rate in Hz.
            sounds: Their name in a message, such as the path of their cache.

        Raises:
            ValueError: If parameters, their ranges or the sampling rate differ; says which.
        """
        if self.space.column_names != space.column_names:
            raise ValueError(
                f"The encoder predicts {_listed(self.space)}; {sounds} is about {_listed(space)}."
            )
        columns = zip(self.space.columns, space.columns, strict=True)
        differing = [(ours, theirs) for ours, theirs in columns if ours != theirs]
        if differing:
            ours, theirs = (", ".join(map(str, parameters)) for parameters in zip(*differing, strict=True))
            raise ValueError(
                f"The encoder predicts other ranges of parameters, {ours}; {sounds} is about {theirs}."
            )
        if self.sample_rate != sample_rate:
            raise ValueError(
                f"The encoder was made for sounds at {self.sample_rate:g} Hz; {sounds} is about sounds at "
                f"{sample_rate:g} Hz. Likely cause: a synthesizer of the same name with other options."
            )

    def config(self) -> dict[str, Any]:
        """Options from which `from_config` builds the same network, JSON-able."""
        return {
            "space": self.space.to_dict(),
            "sample_rate": self.sample_rate,
            "n_channels": list(self.n_channels),
            "n_modulation_channels": list(self.n_modulation_channels),
            "n_modulations": self.n_modulations,
            "n_hidden": self.n_hidden,
            "front_end": self.front_end_options,
        }

    @classmethod
    def from_config(cls, config: dict[str, Any]) -> Encoder:
        """Build a network from what `config` returned, with fresh weights.

        Args:
            config: Options.

        Returns:
            The network.
        """
        options = dict(config)
        return cls(ParameterSpace.from_dict(options.pop("space")), options.pop("sample_rate"), **options)


def _listed(space: ParameterSpace) -> str:
    """Return the names of what is predicted, with those of the conditions where there are some."""
    predicted = ", ".join(parameter.name for parameter in (*space, *space.choices))
    given = ", ".join(condition.name for condition in space.told)
    return f"{predicted} given {given}" if given else predicted


def _convolutions(n_inputs: int, n_channels: Sequence[int], stride: tuple[int, int]) -> nn.Sequential:
    layers: list[nn.Module] = []
    for n_outputs in n_channels:
        kernel = 3 if layers else 5
        layers += [
            nn.Conv2d(n_inputs, n_outputs, kernel, stride, padding=kernel // 2, bias=False),
            nn.BatchNorm2d(n_outputs),
            nn.ReLU(),
        ]
        n_inputs = n_outputs
    return nn.Sequential(*layers)
