"""A program as the text of a QIR module of the base or the adaptive profile.

Qubit i is the static qubit i, classical bit i the static result i; all results are recorded
in order. Gates that QIR has not are rewritten exactly but for the global phase, which
nobody can observe: no gate here stands under a quantum control.
"""

from __future__ import annotations

import math
import struct
from collections.abc import Sequence
from typing import Literal

from qfw.formats import qir_gates as names
from qfw.formats.lowering import lower
from qfw.formats.qir_loops import MAX_TRIPS
from qfw.model.errors import OptionError, UnsupportedFeature
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
)

Profile = Literal["base", "adaptive"]

_NATIVE = frozenset(names.WRITTEN)


def write(program: Program, profile: Profile | None = None) -> str:
    """The QIR text of a program: base profile where it needs no control, adaptive where it does.

    Raises:
        UnsupportedFeature: slots, a delay, or control in the base profile.
        ProgramError: the program is not well formed.
    """
    program.check()
    if profile not in (None, "base", "adaptive"):
        raise OptionError(f"the profile {profile!r} is not written; base and adaptive are")
    if program.num_slots and any(isinstance(a, Affine) for gate in program.gates() for a in gate.angles):
        raise UnsupportedFeature(
            "the entry point of a QIR profile takes no parameters: bind the program's slots first, "
            "program.bound(values)"
        )
    base = _is_base(program)
    if profile == "base" and not base:
        raise UnsupportedFeature(
            "the base profile has gates and then one measurement of a qubit and into a bit each; this program "
            "needs profile='adaptive'"
        )
    lowered = lower(program, _NATIVE)
    return _Writer(lowered, "base" if base and profile != "adaptive" else "adaptive").text()


def _is_base(program: Program) -> bool:
    measured = [op for op in program.operations if isinstance(op, Measure)]
    return (
        not program.has_control
        and len({op.qubit for op in measured}) == len(measured)
        and len({op.clbit for op in measured}) == len(measured)
    )


class _Writer:
    def __init__(self, program: Program, profile: Profile) -> None:
        self.program = program
        self.profile = profile
        self.lines: list[str] = []
        #: Declarations by name.
        self.declared: dict[str, str] = {}
        self.numbers = 0
        self.block = "entry"
        self.counts = False
        self.loops = False

    def text(self) -> str:
        """The whole module."""
        self.lines.append("entry:")
        self.call(names.RT + "initialize", ("ptr", "null"))
        if self.profile == "base":
            gates = [op for op in self.program.operations if not isinstance(op, Measure)]
            for label, part in (
                ("body", gates),
                ("measurements", [op for op in self.program.operations if isinstance(op, Measure)]),
            ):
                self.go(label)
                self.operations(part)
            self.go("output")
        else:
            self.operations(self.program.operations)
            self.go(self.label("output"))
        labels = self.records()
        self.lines.append("  ret i64 0")
        return "\n".join(
            [
                *labels,
                "",
                "define i64 @main() #0 {",
                *self.lines,
                "}",
                "",
                *self.declared.values(),
                "",
                'attributes #0 = { "entry_point" "output_labeling_schema"="labeled" '
                f'"qir_profiles"="{self.profile}_profile" '
                f'"required_num_qubits"="{self.program.num_qubits}" '
                f'"required_num_results"="{self.program.num_clbits}" }}',
                'attributes #1 = { "irreversible" }',
                "",
                *self.flags(),
                "",
            ]
        )

    def operations(self, operations: Sequence[Operation]) -> None:
        for op in operations:
            match op:
                case Gate():
                    angles = tuple(("double", _number(angle)) for angle in op.angles)
                    qubits = tuple(("ptr", _static(qubit)) for qubit in op.qubits)
                    self.call(names.QIS + names.WRITTEN[op.name], *angles, *qubits)
                case Measure():
                    function = names.QIS + "mz__body"
                    self.declared.setdefault(function, f"declare void @{function}(ptr, ptr writeonly) #1")
                    self.call(function, ("ptr", _static(op.qubit)), ("ptr", _static(op.clbit)))
                case Reset():
                    self.declared.setdefault(names.RESET, f"declare void @{names.RESET}(ptr) #1")
                    self.call(names.RESET, ("ptr", _static(op.qubit)))
                case Barrier():
                    self.call(names.BARRIER)
                case IfElse():
                    self.choice(op)
                case While():
                    self.loop(op)
                case Delay():
                    raise UnsupportedFeature(
                        "QIR has no delay: leave the schedule out, or write OpenQASM 3 instead"
                    )

    def choice(self, op: IfElse) -> None:
        """A branch on bits, with an else side only where there is one."""
        if not 0 <= op.value < 1 << len(op.clbits):
            self.operations(op.otherwise)
            return
        if not op.clbits:
            self.operations(op.then)
            return
        condition = self.condition(op.clbits, op.value)
        then, after = self.label("then"), self.label("after")
        otherwise = self.label("else") if op.otherwise else after
        self.lines.append(f"  br i1 {condition}, label %{then}, label %{otherwise}")
        self.begin(then)
        self.operations(op.then)
        self.lines.append(f"  br label %{after}")
        if op.otherwise:
            self.begin(otherwise)
            self.operations(op.otherwise)
            self.lines.append(f"  br label %{after}")
        self.begin(after)

    def loop(self, op: While) -> None:
        """A loop whose bound, where it has its own, is a counter's."""
        if not 0 <= op.value < 1 << len(op.clbits):
            return
        self.loops = True
        head, body, after = self.label("loop"), self.label("body"), self.label("done")
        counted = op.max_trips != MAX_TRIPS or not op.clbits
        before = self.block
        self.go(head)
        if counted:
            if op.max_trips >= 1 << 63:
                raise UnsupportedFeature(f"a loop of {op.max_trips} trips: QIR counts in 64 bits")
            self.counts = True
            trip, more, following = self.name(), self.name(), self.name()
            # The phi's second source is known when the body is written.
            phi_at = len(self.lines)
            self.lines.append("")
            condition = self.condition(op.clbits, op.value) if op.clbits else None
            self.lines.append(f"  {more} = icmp ult i64 {trip}, {op.max_trips}")
            if condition is None:
                goes_on = more
            else:
                goes_on = self.name()
                self.lines.append(f"  {goes_on} = and i1 {more}, {condition}")
        else:
            goes_on = self.condition(op.clbits, op.value)
        self.lines.append(f"  br i1 {goes_on}, label %{body}, label %{after}")
        self.begin(body)
        self.operations(op.body)
        if counted:
            self.lines.append(f"  {following} = add i64 {trip}, 1")
            self.lines[phi_at] = f"  {trip} = phi i64 [ 0, %{before} ], [ {following}, %{self.block} ]"
        self.lines.append(f"  br label %{head}")
        self.begin(after)

    def condition(self, clbits: Sequence[int], value: int) -> str:
        """The name of an i1 that says whether the bits equal the value."""
        function = names.RT + "read_result"
        self.declared.setdefault(function, f"declare i1 @{function}(ptr readonly)")
        whole = ""
        for position, clbit in enumerate(clbits):
            one = self.name()
            self.lines.append(f"  {one} = call i1 @{function}(ptr {_static(clbit)})")
            if not value >> position & 1:
                one, read = self.name(), one
                self.lines.append(f"  {one} = xor i1 {read}, true")
            if whole:
                both = self.name()
                self.lines.append(f"  {both} = and i1 {whole}, {one}")
                one = both
            whole = one
        return whole

    def records(self) -> list[str]:
        """Records all results in order; gives the globals that are their labels."""
        count = self.program.num_clbits
        labels = ["c", *(f"c{index}" for index in range(count))]
        self.call(names.RT + "array_record_output", ("i64", str(count)), ("ptr", "@0"))
        for index in range(count):
            self.call(names.RECORD_RESULT, ("ptr", _static(index)), ("ptr", f"@{index + 1}"))
        return [
            f'@{number} = internal constant [{len(label) + 1} x i8] c"{label}\\00"'
            for number, label in enumerate(labels)
        ]

    def flags(self) -> list[str]:
        """The module's flags: version, static qubits and results, what of the adaptive profile is used."""
        flags = [
            'i32 1, !"qir_major_version", i32 2',
            'i32 7, !"qir_minor_version", i32 0',
            'i32 1, !"dynamic_qubit_management", i1 false',
            'i32 1, !"dynamic_result_management", i1 false',
        ]
        rest: list[str] = []
        if self.profile == "adaptive":
            flags += [
                f'i32 7, !"backwards_branching", i2 {-1 if self.loops else 0}',
                'i32 1, !"ir_functions", i1 false',
                'i32 1, !"multiple_target_branching", i1 false',
                'i32 1, !"multiple_return_points", i1 false',
            ]
            if self.counts:
                flags.append(f'i32 5, !"int_computations", !{len(flags) + 1}')
                rest = [f'!{len(flags)} = !{{!"i64"}}']
        listed = ", ".join(f"!{number}" for number in range(len(flags)))
        lines = [f"!{number} = !{{{flag}}}" for number, flag in enumerate(flags)]
        return [f"!llvm.module.flags = !{{{listed}}}", "", *lines, *rest]

    def call(self, function: str, *given: tuple[str, str]) -> None:
        """A call without a result; declares the function."""
        if function not in self.declared:
            self.declared[function] = f"declare void @{function}({', '.join(kind for kind, _ in given)})"
        self.lines.append(f"  call void @{function}({', '.join(f'{kind} {text}' for kind, text in given)})")

    def go(self, label: str) -> None:
        """Ends the block by going on to a new one."""
        self.lines.append(f"  br label %{label}")
        self.begin(label)

    def begin(self, label: str) -> None:
        self.lines += ["", f"{label}:"]
        self.block = label

    def label(self, kind: str) -> str:
        self.numbers += 1
        return f"{kind}{self.numbers}"

    def name(self) -> str:
        self.numbers += 1
        return f"%v{self.numbers}"


def _static(index: int) -> str:
    return f"inttoptr (i64 {index} to ptr)" if index else "null"


def _number(angle: Angle) -> str:
    assert not isinstance(angle, Affine)
    text = repr(float(angle))
    if "e" in text or not math.isfinite(angle):
        # LLVM's decimal form wants a point in front of an exponent; the bits of the double are always right.
        return "0x" + struct.pack(">d", angle).hex().upper()
    return text
