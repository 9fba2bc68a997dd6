"""The twin: simulated quantum processors with calibration, noise, time and a life of their own."""

from __future__ import annotations


def __getattr__(name: str) -> object:
    """The plugin, imported when it is asked for: the parts below do not need each other."""
    if name != "TwinPlatform":
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    from qfw.platforms.twin.platform import TwinPlatform

    return TwinPlatform
