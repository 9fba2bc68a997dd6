"""Envelopes of pulses: named shapes with parameters, or samples; each a complex number for every device sample.

NumPy is imported when samples are wanted: calibrations hold envelopes, and whoever reads one need not wait for it.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Union

import msgspec

if TYPE_CHECKING:
    import numpy as np
    import numpy.typing as npt

    Complex = npt.NDArray[np.complex128]


class Constant(msgspec.Struct, frozen=True, tag="constant", forbid_unknown_fields=True):
    """The same amplitude for as long as the pulse lasts."""

    amplitude: float
    #: Of the whole envelope, radians; here and below.
    phase: float = 0.0

    def samples(self, duration: int) -> Complex:
        """Shape (duration,)."""
        import numpy as np

        return _turned(np.full(duration, self.amplitude), self.phase)


class Gaussian(msgspec.Struct, frozen=True, tag="gaussian", forbid_unknown_fields=True):
    """amplitude · exp(-(t - middle)² / 2 sigma²), not lifted; sigma in samples."""

    amplitude: float
    sigma: float
    phase: float = 0.0

    def samples(self, duration: int) -> Complex:
        """Shape (duration,)."""
        return _turned(self.amplitude * _bell(_from_middle(duration), self.sigma), self.phase)


class GaussianSquare(msgspec.Struct, frozen=True, tag="gaussian_square", forbid_unknown_fields=True):
    """Flat for `width` samples in the middle, with the sides of a Gaussian."""

    amplitude: float
    sigma: float
    width: float
    phase: float = 0.0

    def samples(self, duration: int) -> Complex:
        """Shape (duration,)."""
        import numpy as np

        outside = np.maximum(np.abs(_from_middle(duration)) - self.width / 2, 0.0)
        return _turned(self.amplitude * _bell(outside, self.sigma), self.phase)


class Drag(msgspec.Struct, frozen=True, tag="drag", forbid_unknown_fields=True):
    """A Gaussian whose derivative, times `beta` samples, is its imaginary part."""

    amplitude: float
    sigma: float
    beta: float
    phase: float = 0.0

    def samples(self, duration: int) -> Complex:
        """Shape (duration,)."""
        middle = _from_middle(duration)
        bell = self.amplitude * _bell(middle, self.sigma)
        return _turned(bell * (1 - 1j * self.beta * middle / self.sigma**2), self.phase)


class Samples(msgspec.Struct, frozen=True, tag="samples", forbid_unknown_fields=True):
    """Every sample by itself: as many as the pulse lasts. No imaginary parts given: all 0."""

    real: tuple[float, ...]
    imaginary: tuple[float, ...] = ()

    def samples(self, duration: int) -> Complex:
        """Shape (duration,), where that many were given."""
        import numpy as np

        found = np.array(self.real, dtype=np.complex128)
        if self.imaginary:
            found += 1j * np.array(self.imaginary)
        return found


Envelope = Union[Constant, Gaussian, GaussianSquare, Drag, Samples]  # noqa: UP007 - for msgspec


def broken_rule(envelope: Envelope, duration: int) -> str:
    """What is wrong with the parameters of an envelope; empty where nothing is."""
    if isinstance(envelope, Samples):
        if len(envelope.real) != duration or len(envelope.imaginary) not in (0, duration):
            return f"gives {len(envelope.real)} samples and lasts {duration}; both must be equal"
        return ""
    for name in envelope.__struct_fields__:
        value = getattr(envelope, name)
        if not -1e9 <= value <= 1e9:
            return f"{name} is {value}; it must be finite, and at most 1e9"
        if name == "sigma" and value <= 0:
            return f"sigma is {value}; it must be more than 0"
    if isinstance(envelope, GaussianSquare) and not 0 <= envelope.width <= duration:
        return f"width is {envelope.width}; it must be 0 to the duration, {duration}"
    return ""


def _from_middle(duration: int) -> npt.NDArray[np.float64]:
    import numpy as np

    found: npt.NDArray[np.float64] = np.arange(duration, dtype=np.float64)
    found -= (duration - 1) / 2
    return found


def _bell(distance: npt.NDArray[np.float64], sigma: float) -> npt.NDArray[np.float64]:
    import numpy as np

    found: npt.NDArray[np.float64] = np.exp(-0.5 * (distance / sigma) ** 2)
    return found


def _turned(values: npt.NDArray[np.float64] | Complex, phase: float) -> Complex:
    import numpy as np

    found: Complex = values * np.exp(1j * phase)
    return found
