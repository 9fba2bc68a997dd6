"""What a compiled program is written as."""

from __future__ import annotations

import msgspec

from qfw.model.errors import UnsupportedFeature
from qfw.qpi.compiled import CompiledProgram
from qfw.qpi.pipeline import Lowered


def emitted(emit: str, compiled: CompiledProgram, lowered: Lowered, bitcode: bool) -> bytes:
    """The lowered program as qasm3, qasm2, qir (a text, or `bitcode`) or pulse (JSON); or all of it as qfw.

    Raises:
        UnsupportedFeature: the format cannot say it.
    """
    match emit:
        case "qfw":
            return compiled.to_bytes()
        case "pulse":
            schedule = lowered.schedule
            if schedule is None:
                raise UnsupportedFeature(
                    "no stage of the pipeline makes pulses; end it with tool pulse (qfw tools lists what is installed)"
                )
            return msgspec.json.encode(schedule) + b"\n"
        case "qir":
            if bitcode:
                return lowered.program.to_qir(form="bitcode")
            return lowered.program.to_qir().encode()
        case _:
            return lowered.program.to_qasm(2 if emit == "qasm2" else 3).encode()
