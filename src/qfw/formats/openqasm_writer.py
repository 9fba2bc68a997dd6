"""Programs as OpenQASM text."""

from __future__ import annotations

from functools import cache
from typing import Final

from qfw.formats.lowering import lower
from qfw.formats.source import Source
from qfw.formats.standard_gates import STDGATES
from qfw.model.errors import OptionError, UnsupportedFeature
from qfw.model.gates import GATES
from qfw.model.program import Affine, Angle, Barrier, Delay, Gate, Measure, Operation, Program, Reset, slot


def written(program: Program, version: int) -> str:
    """The text of `qfw.formats.openqasm.dumps`."""
    if version not in (2, 3):
        raise OptionError(f"OpenQASM has versions 2 and 3, not {version!r}")
    if version == 2 and program.num_slots:
        raise UnsupportedFeature(
            f"OpenQASM 2 has no inputs, and the program has {program.num_slots} slots; "
            "bind them first (program.bound) or write version 3"
        )
    program.check()
    lines: list[str] = []
    used: set[str] = set()
    for op in program.operations:
        if isinstance(op, Gate):
            used.add(op.name)
        lines.append(_line(op, version))
    head = list(_HEAD[version])
    head += [definition(name, version) for name in sorted(used) if name not in _known(version)]
    head += [f"input float[64] p{index};" for index in range(program.num_slots)]
    qubits, clbits = program.num_qubits, program.num_clbits
    if version == 3:
        head += [f"qubit[{qubits}] q;"] + [f"bit[{clbits}] c;"] * bool(clbits)
    else:
        head += [f"qreg q[{qubits}];"] + [f"creg c[{clbits}];"] * bool(clbits)
    return "\n".join([*head, *lines, ""])


@cache
def definition(name: str, version: int) -> str:
    """The text, in standard gates, that defines a gate of the normal form which the include lacks."""
    special = _SPECIAL.get((name, version))
    if special is not None:
        return special
    num_qubits, num_angles = GATES[name]
    gate = Gate(name, tuple(range(num_qubits)), tuple(slot(index) for index in range(num_angles)))
    one = lower(Program(num_qubits, 0, num_angles, (gate,)), _known(version))
    steps = " ".join(
        _call(_name(op.name, version), op.angles, [f"q{q}" for q in op.qubits], "a")
        for op in one.operations
        if isinstance(op, Gate)
    )
    angles = f"({', '.join(f'a{index}' for index in range(num_angles))})" if num_angles else ""
    return f"gate {name}{angles} {', '.join(f'q{q}' for q in range(num_qubits))} {{ {steps} }}"


@cache
def definition_tokens(name: str, version: int) -> list[str] | None:
    """The tokens of that text, by which a reader knows it again; None where none is ever written."""
    if name not in GATES or name in _known(version):
        return None
    return Source(definition(name, version)).tokens[:-1]


@cache
def _known(version: int) -> frozenset[str]:
    """Gates of the normal form that a text may call after its include."""
    return frozenset(_NAMES_2) if version == 2 else _NAMES_3


def _line(op: Operation, version: int) -> str:
    match op:
        case Gate("gphase", _, angles):
            return _call("gphase", angles, [] if version == 3 else ["q[0]"], "p")
        case Gate(name, qubits, angles):
            return _call(_name(name, version), angles, [f"q[{q}]" for q in qubits], "p")
        case Measure(qubit, clbit):
            return (
                f"c[{clbit}] = measure q[{qubit}];" if version == 3 else f"measure q[{qubit}] -> c[{clbit}];"
            )
        case Reset(qubit):
            return f"reset q[{qubit}];"
        case Barrier(qubits):
            # Without operands the statement would mean all qubits.
            return f"barrier {', '.join(f'q[{q}]' for q in qubits)};" if qubits else "// barrier on no qubit"
        case Delay(qubit, duration_ns) if version == 3:
            return f"delay[{duration_ns}ns] q[{qubit}];"
        case Delay():
            raise UnsupportedFeature("OpenQASM 2 has no delay; write the program as version 3")
    raise UnsupportedFeature(
        f"{type(op).__name__} cannot be written as OpenQASM yet: control flow comes with the toolchain"
    )


def _name(gate: str, version: int) -> str:
    return _NAMES_2.get(gate, gate) if version == 2 else gate


def _call(name: str, angles: tuple[Angle, ...], qubits: list[str], prefix: str) -> str:
    given = f"({', '.join([_number(angle, prefix) for angle in angles])})" if angles else ""
    return f"{name}{given}{' ' if qubits else ''}{', '.join(qubits)};"


def _number(angle: Angle, prefix: str) -> str:
    if not isinstance(angle, Affine):
        return repr(float(angle))
    parts: list[str] = []
    for index, coefficient in angle.terms:
        factor = "" if coefficient == 1.0 else "-" if coefficient == -1.0 else f"{float(coefficient)!r}*"
        parts.append(f"{factor}{prefix}{index}")
    if angle.offset or not parts:
        parts.append(repr(float(angle.offset)))
    return " + ".join(parts).replace("+ -", "- ")


_NAMES_3: Final = frozenset({name for name, gate in STDGATES.items() if gate.same_as == name} | {"gphase"})
#: Gates that the first qelib1.inc had, by the names it had for them: strict readers know no others.
_NAMES_2: Final = {
    **{name: name for name in ("id", "x", "y", "z", "h", "s", "sdg", "t", "tdg", "rx", "ry", "rz")},
    **{name: name for name in ("cx", "cy", "cz", "ch", "crz", "ccx")},
    "p": "u1",
    "u": "u3",
    "cp": "cu1",
}
_HEAD: Final = {
    2: ("OPENQASM 2.0;", 'include "qelib1.inc";'),
    3: ("OPENQASM 3.0;", 'include "stdgates.inc";'),
}
_SPECIAL: Final = {
    # The standard's U carries a phase that the gate u does not.
    ("u", 3): "gate u(a0, a1, a2) q0 { gphase(-0.5*a0); U(a0, a1, a2) q0; }",
    # Version 2 has no gate without qubits; this one is the phase on any qubit.
    ("gphase", 2): "gate gphase(a0) q0 { u1(a0) q0; x q0; u1(a0) q0; x q0; }",
}
