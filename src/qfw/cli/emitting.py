"""What a compiled program is written as."""

from __future__ import annotations

import msgspec

from qfw.model.errors import UnsupportedFeature
from qfw.model.program import Gate
from qfw.qpi.compiled import CompiledProgram
from qfw.qpi.pipeline import Lowered
from qfw.qpi.program import Program


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
        case "qir" | "qasm2" if lowered.program.num_slots:
            raise UnsupportedFeature(
                f"{'QIR' if emit == 'qir' else 'OpenQASM 2'} has no parameters, and the program has "
                f"{lowered.program.num_slots}: give their values, --bind 0.1,…, or write qasm3 or qfw"
            )
        case "qir":
            if bitcode:
                return lowered.program.to_qir(form="bitcode")
            return lowered.program.to_qir().encode()
        case "qasm2":
            return _without_phase(lowered.program).to_qasm(2).encode()
        case _:
            return lowered.program.to_qasm().encode()


def _without_phase(program: Program) -> Program:
    """The program without global phases at its top: OpenQASM 2 would say them by gates that a device has to play."""
    kept = tuple(op for op in program.operations if not (isinstance(op, Gate) and op.name == "gphase"))
    return Program(program.num_qubits, program.num_clbits, program.num_slots, kept)
