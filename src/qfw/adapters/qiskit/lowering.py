"""Circuits as Programs; what does it is a format (`qfw.formats.qiskit`)."""

from qfw.formats.qiskit import Lowered, lower

__all__ = ["Lowered", "lower"]
