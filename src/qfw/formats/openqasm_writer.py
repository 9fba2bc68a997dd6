"""Programs as OpenQASM text."""

from __future__ import annotations

from functools import cache
from typing import Final

from qfw.formats.formulas import equals
from qfw.formats.lowering import lower
from qfw.formats.source import Source
from qfw.formats.standard_gates import STDGATES
from qfw.model.errors import OptionError, UnsupportedFeature
from qfw.model.gates import GATES
from qfw.model.program import (
    Affine,
    Angle,
    Barrier,
    Delay,
    Gate,
    IfElse,
    Measure,
    Operation,
    Program,
    Reset,
    While,
    slot,
)


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
    used = {gate.name for gate in program.gates()}
    registers = creg_of(program) if version == 2 else [range(program.num_clbits)]
    bits = {
        clbit: f"{name}[{place}]"
        for name, register in _named(registers)
        for place, clbit in enumerate(register)
    }
    lines: list[str] = []
    for op in program.operations:
        lines += _lines(op, version, bits)
    head = list(_HEAD[version])
    head += [definition(name, version) for name in sorted(used) if name not in _known(version)]
    head += [f"input float[64] p{index};" for index in range(program.num_slots)]
    head.append(f"qubit[{program.num_qubits}] q;" if version == 3 else f"qreg q[{program.num_qubits}];")
    for name, register in _named(registers):
        head.append(f"bit[{len(register)}] {name};" if version == 3 else f"creg {name}[{len(register)}];")
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
    return [token for token in Source(definition(name, version)).tokens if token]


@cache
def _known(version: int) -> frozenset[str]:
    """Gates of the normal form that a text may call after its include."""
    return frozenset(_NAMES_2) if version == 2 else _NAMES_3


def _named(registers: list[range]) -> list[tuple[str, range]]:
    kept = [register for register in registers if register]
    return [("c" if len(kept) == 1 else f"c{index}", register) for index, register in enumerate(kept)]


def _lines(op: Operation, version: int, bits: dict[int, str]) -> list[str]:
    match op:
        case Gate("gphase", _, angles):
            return [_call("gphase", angles, [] if version == 3 else ["q[0]"], "p")]
        case Gate(name, qubits, angles):
            return [_call(_name(name, version), angles, [f"q[{q}]" for q in qubits], "p")]
        case Measure(qubit, clbit):
            written_bit = bits[clbit]
            return [
                f"{written_bit} = measure q[{qubit}];"
                if version == 3
                else f"measure q[{qubit}] -> {written_bit};"
            ]
        case Reset(qubit):
            return [f"reset q[{qubit}];"]
        case Barrier(qubits):
            # Without operands the statement would mean all qubits.
            return [
                f"barrier {', '.join(f'q[{q}]' for q in qubits)};" if qubits else "// barrier on no qubit"
            ]
        case Delay(qubit, duration_ns) if version == 3:
            return [f"delay[{duration_ns}ns] q[{qubit}];"]
        case Delay():
            raise UnsupportedFeature("OpenQASM 2 has no delay; write the program as version 3")
        case IfElse() if version == 2:
            return _old_if(op, bits)
        case IfElse(clbits, value, then, otherwise):
            lines = [f"if ({_condition(clbits, value, bits)}) {{", *_indented(then, bits), "}"]
            if otherwise:
                lines[-1:] = ["} else {", *_indented(otherwise, bits), "}"]
            return lines
        case While(clbits, value, body, max_trips) if version == 3:
            bound = [f"{TRIPS_ANNOTATION} {max_trips}"]
            return [*bound, f"while ({_condition(clbits, value, bits)}) {{", *_indented(body, bits), "}"]
        case While():
            raise UnsupportedFeature("OpenQASM 2 has no loops; write the program as version 3")


def _indented(block: tuple[Operation, ...], bits: dict[int, str]) -> list[str]:
    # An annotation stands at the beginning of its line, blanks before it allowed.
    return ["  " + line for op in block for line in _lines(op, 3, bits)]


def _condition(clbits: tuple[int, ...], value: int, bits: dict[int, str]) -> str:
    formula = equals(clbits, value)
    if isinstance(formula, bool):
        return "true" if formula else "false"
    if len(clbits) > 1 and clbits == tuple(range(len(bits))):
        return f"c == {value}"
    return " && ".join(
        f"{'' if value >> place & 1 else '!'}{bits[clbit]}" for place, clbit in enumerate(clbits)
    )


def creg_of(program: Program) -> list[range]:
    """The registers of version 2 that let it say the program's conditions, bits in order.

    Raises:
        UnsupportedFeature: two conditions ask overlapping bits, or one asks bits that do not follow each other.
    """
    asked: set[tuple[int, int]] = set()
    for op in program.operations:
        if isinstance(op, IfElse) and op.clbits:
            low, high = min(op.clbits), max(op.clbits) + 1
            if len(set(op.clbits)) != high - low:
                raise UnsupportedFeature(
                    f"OpenQASM 2 compares whole registers: bits {op.clbits} do not follow each other. Write version 3"
                )
            asked.add((low, high))
    registers: list[range] = []
    end = 0
    for low, high in sorted(asked):
        if low < end:
            raise UnsupportedFeature(
                f"OpenQASM 2 compares whole registers: bits {low} to {high - 1} share some with those of another "
                "condition. Write version 3"
            )
        registers += [range(end, low), range(low, high)]
        end = high
    return [*registers, range(end, program.num_clbits)]


def _old_if(op: IfElse, bits: dict[int, str]) -> list[str]:
    """An IfElse as statements of version 2, each of which asks the register again."""
    formula = equals(op.clbits, op.value)
    if isinstance(formula, bool):
        return [line for inner in (op.then if formula else op.otherwise) for line in _lines(inner, 2, bits)]
    low, size = min(op.clbits), len(set(op.clbits))
    value = sum(
        (op.value >> place & 1) << clbit - low
        for place, clbit in enumerate(op.clbits)
        if clbit not in op.clbits[:place]
    )
    both = op.then and op.otherwise
    for block in (op.then, op.otherwise):
        for place, inner in enumerate(block):
            if isinstance(inner, (IfElse, While)):
                raise UnsupportedFeature(
                    "OpenQASM 2 has no nested conditions; write the program as version 3"
                )
            changes = isinstance(inner, Measure) and inner.clbit in op.clbits
            if changes and (both or place + 1 < len(block) or (block is op.otherwise and size > 1)):
                raise UnsupportedFeature(
                    "OpenQASM 2 asks the bits again for every statement: a branch that measures into them goes on. "
                    "Write version 3"
                )
    if op.otherwise and size > MAX_OTHERS:
        raise UnsupportedFeature(
            f"OpenQASM 2 has no else, and {size} bits have too many other values. Write version 3"
        )
    name = bits[low].partition("[")[0]
    others = [other for other in range(1 << size) if other != value] if op.otherwise else []
    return [
        line if isinstance(inner, Barrier) else f"if ({name} == {number}) {line}"
        for number, block in ((value, op.then), *((other, op.otherwise) for other in others))
        for inner in block
        for line in _lines(inner, 2, bits)
    ]


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


#: The annotation before a while that says how often it runs at most.
TRIPS_ANNOTATION: Final = "@qfw_max_trips"
#: Bits of a condition whose else version 2 says value by value.
MAX_OTHERS: Final = 4
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
