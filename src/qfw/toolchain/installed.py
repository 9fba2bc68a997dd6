"""Versions of the packages that tools stand on, found without importing them."""

from __future__ import annotations

from functools import cache
from importlib.metadata import PackageNotFoundError, version


def installed(package: str) -> str | None:
    """Version of a package; None where it is not installed, which is looked up again: it may be at any time."""
    try:
        return _version(package)
    except PackageNotFoundError:
        return None


@cache
def _version(package: str) -> str:
    # Read from a file each time, and asked for with every program.
    return version(package)
