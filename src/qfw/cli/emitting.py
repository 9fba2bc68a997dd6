"""What a compiled program is written as."""

from __future__ import annotations

import msgspec

from qfw.model.errors import UnsupportedFeature
from qfw.model.pulse import Schedule
from qfw.qpi.compiled import CompiledProgram
from qfw.qpi.pipeline import Lowered


def emitted(emit: str, compiled: CompiledProgram, lowered: Lowered) -> bytes:
    """The lowered program as qasm3, qasm2, qir or pulse (JSON); or all of it as qfw.

    Raises:
        UnsupportedFeature: the format cannot say it.
    """
    match emit:
        case "qfw":
            return compiled.to_bytes()
        case "pulse":
            body = lowered.artefacts.get("schedule")
            if body is None:
                raise UnsupportedFeature(
                    "no stage of the pipeline makes pulses; end it with tool pulse (qfw tools lists what is installed)"
                )
            return msgspec.json.encode(msgspec.msgpack.decode(body, type=Schedule)) + b"\n"
        case "qir":
            write = getattr(lowered.program, "to_qir", None)
            if write is None:
                raise UnsupportedFeature("this QFw writes no QIR; emit qasm3, qasm2 or qfw")
            text: str | bytes = write()
            return text.encode() if isinstance(text, str) else text
        case _:
            return lowered.program.to_qasm(2 if emit == "qasm2" else 3).encode()
