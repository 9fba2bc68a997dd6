"""A QIR module as a program: its entry point is followed with all values that are known.

Constants are computed, functions entered, counted loops unrolled. What depends on
measured bits is a diagram of `qir_values`: a branch on it becomes an IfElse up to where
both ways meet. `qir_loops` makes While of loops on measured bits.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from qfw.formats import qir_arithmetic as arithmetic
from qfw.formats import qir_gates as names
from qfw.formats.qir_branches import labels, without
from qfw.formats.qir_calls import Calls
from qfw.formats.qir_flow import END, Flow
from qfw.formats.qir_layers import Layer
from qfw.formats.qir_loops import Loops
from qfw.formats.qir_module import (
    CALL,
    CASE,
    TARGET,
    check_calls,
    entry,
    flow_of,
    phi,
)
from qfw.formats.qir_text import (
    Constant,
    Function,
    Instruction,
    Local,
    Module,
    arguments,
    operand,
    parse,
    typed,
    unquoted,
)
from qfw.formats.qir_values import Bit, Choice, same
from qfw.model.errors import ParseError, TooLarge, UnsupportedFeature
from qfw.model.program import (
    MAX_NESTING,
    Operation,
    Program,
    slot,
)

#: Instructions that are followed one after another without any operation among them.
MAX_IDLE = 5_000
#: Trips of all loops that are unrolled.
MAX_UNROLLED = 10_000
#: Functions entered within functions.
MAX_CALLS = 32


def read(text: str) -> Program:
    """The program of the entry point of a QIR text.

    Raises:
        ParseError: not QIR's form; line.
        UnsupportedFeature: an instruction, function or control flow that a program cannot say; which, and line.
        TooLarge: beyond the limits of this module and of `qir_text`.
        ProgramError: qubits or results out of range, and the like.
    """
    module = parse(text)
    start = entry(module)
    check_calls(module, start)
    try:
        return Reader(module, start).run()
    except RecursionError as error:
        raise TooLarge("functions and branches of the QIR are nested too deep in each other") from error


@dataclass
class Frame:
    """A function while it is followed."""

    function: Function
    flow: Flow | None
    values: Layer[str, object]
    depth: int
    #: Header -> attempts, since its loop was entered, to read the loop as While.
    attempts: dict[str, int] = field(default_factory=dict)
    #: Blocks that may not be come to, or not left, while an attempt is made.
    closed: set[str] = field(default_factory=set)
    closed_ends: set[str] = field(default_factory=set)

    def beside(self, values: Mapping[str, object]) -> Frame:
        """The same function, followed on another way, with `values` to begin with."""
        return Frame(
            self.function, self.flow, Layer(values), self.depth, self.attempts, self.closed, self.closed_ends
        )


@dataclass
class Arrival:
    """Where following a function has come to."""

    #: The block that is next, or END.
    label: str
    #: The block before it.
    previous: str
    #: What the function gives, at END.
    value: object = None


class Reader(Calls):
    """Follows one entry point."""

    def __init__(self, module: Module, entry: Function) -> None:
        super().__init__(module.attributes(entry))
        self.module = module
        self.entry = entry
        self.loops = Loops(self)
        self.trips = 0
        self._flows: dict[str, Flow | None] = {}
        #: What is called with which operands, by the text of the call.
        self._calls: dict[str, tuple[str, list[Local | Constant]]] = {}

    def run(self) -> Program:
        """The program, checked."""
        values: dict[str, object] = {}
        num_slots = 0
        for kind, name in self.entry.parameters:
            if kind != "double":
                raise UnsupportedFeature(
                    f"line {self.entry.line}: the entry point takes a parameter of type {kind}; "
                    "only double ones are read, as slots"
                )
            values[name] = slot(num_slots)
            num_slots += 1
        self.enter(self.entry, values, 0)
        return self.renumbered(num_slots)

    # Following.

    def enter(self, function: Function, values: dict[str, object], depth: int) -> object:
        """What a function gives, its operations emitted."""
        if depth > MAX_CALLS:
            raise TooLarge(f"functions of the QIR call each other more than {MAX_CALLS} deep")
        if function.name not in self._flows:
            self._flows[function.name] = flow_of(function)
        frame = Frame(function, self._flows[function.name], Layer(values), depth)
        return self.follow(frame, next(iter(function.blocks)), END, None).value

    def follow(self, frame: Frame, label: str, previous: str, stop: str | None) -> Arrival:
        """Follows blocks from `label` on until `stop` is come to, or the end."""
        while label != stop:
            if label in frame.closed:
                raise UnsupportedFeature(f"block {label} is come back to from within a branch")
            loop = frame.flow.loops.get(label) if frame.flow is not None else None
            if loop is not None:
                self.trips += 1
                if self.trips > MAX_UNROLLED:
                    raise TooLarge(f"loops of the QIR make more than {MAX_UNROLLED} trips (block {label})")
                arrival = self.loops.attempt(frame, loop, previous)
                if arrival is not None:
                    label, previous = arrival.label, arrival.previous
                    continue
            self.join(frame, label, previous)
            arrival = self.through(frame, label)
            if arrival.label == END:
                return arrival
            label, previous = arrival.label, arrival.previous
        return Arrival(label, previous)

    def through(self, frame: Frame, label: str) -> Arrival:
        """Follows the instructions of one block, and its end."""
        self.body(frame, label)
        if label in frame.closed_ends:
            raise UnsupportedFeature(f"block {label} is come to from within a branch")
        return self.leave(frame, label)

    def body(self, frame: Frame, label: str) -> None:
        """Follows the instructions of a block but the last, without the phis."""
        for instruction in frame.function.blocks[label][:-1]:
            if instruction.opcode != "phi":
                self.step(frame, instruction)

    def incoming(self, frame: Frame, label: str, previous: str) -> dict[str, object]:
        """What the phis of a block are, come from `previous`."""
        given: dict[str, object] = {}
        for instruction in frame.function.blocks[label]:
            if instruction.opcode != "phi":
                break
            kind, sources = phi(instruction)
            if previous not in sources:
                raise ParseError(f"phi has no value for block {previous}", instruction.line, 1)
            assert instruction.result is not None
            given[instruction.result] = self.value(frame, kind, sources[previous], instruction.line)
        return given

    def join(self, frame: Frame, label: str, previous: str) -> None:
        """Sets the phis of a block that is come to from `previous`."""
        # A block come to from several sides has its phis set by `branch`, which says so.
        if previous != MERGED:
            frame.values.own.update(self.incoming(frame, label, previous))

    def leave(self, frame: Frame, label: str) -> Arrival:
        """Where the last instruction of a block leads."""
        last = frame.function.blocks[label][-1]
        self.count(last)
        if last.opcode == "ret":
            kind = last.rest.partition(" ")[0]
            value = None if kind == "void" else self.value(frame, *_typed_text(last.rest), last.line)
            return Arrival(END, label, value)
        if last.opcode == "br":
            targets = TARGET.findall(last.rest)
            if len(targets) == 1:
                return Arrival(unquoted(targets[0]), label)
            condition = self.condition(frame, last)
            return self.branch(frame, label, condition, unquoted(targets[0]), unquoted(targets[1]), last.line)
        if last.opcode == "switch":
            return self.switch(frame, label, last)
        raise UnsupportedFeature(f"line {last.line}: {last.opcode} is not read")

    def condition(self, frame: Frame, last: Instruction) -> object:
        """What the condition of a branch is."""
        return self.value(frame, "i1", last.rest.partition(",")[0].split()[-1], last.line)

    def switch(self, frame: Frame, label: str, last: Instruction) -> Arrival:
        """Follows the case of a switch, or all up to where they meet."""
        head, _, rest = last.rest.partition("[")
        kind, value_text = arguments(head, last.line)[0].split()
        value = self.value(frame, kind, value_text.rstrip(","), last.line)
        (default,) = TARGET.findall(head)
        cases: dict[object, str] = {}
        for case_kind, number, target in CASE.findall(rest):
            cases[operand(case_kind, number, last.line)] = unquoted(target)
        targets = self.diagrams.apply(
            lambda v: cases.get(arithmetic.integer(v, last.line), unquoted(default)), value
        )
        return self.divide(frame, label, targets, last.line)

    def branch(self, frame: Frame, label: str, condition: object, high: str, low: str, line: int) -> Arrival:
        """Follows one side of a branch, or both up to where they meet."""
        targets = self.diagrams.apply(lambda c: high if arithmetic.integer(c, line) else low, condition)
        return self.divide(frame, label, targets, line)

    def divide(self, frame: Frame, label: str, targets: object, line: int) -> Arrival:
        """Goes on at the block that `targets` says: its leaves are labels."""
        if not isinstance(targets, Choice):
            return Arrival(str(targets), label)
        self.current(targets, line)
        assert frame.flow is not None
        if self.nesting >= MAX_NESTING:
            raise UnsupportedFeature(
                f"line {line}: branches on measured bits are nested deeper than {MAX_NESTING}"
                + self.loops.why(label)
            )
        join = frame.flow.joins[label]
        first = next(iter(labels(targets)))
        here = self.diagrams.apply(lambda target: int(target == first), targets)
        rest = without(self.diagrams, targets, first)
        before, versions, attempts = self.operations, self.versions, dict(frame.attempts)
        ways: list[tuple[Frame, Arrival, list[Operation], Layer[int, int]]] = []
        self.nesting += 1
        for target in (first, rest):
            self.operations, self.versions = [], Layer(versions)
            frame.attempts.clear()
            frame.attempts.update(attempts)
            side = frame.beside(frame.values)
            if isinstance(target, Choice):
                arrival = self.divide(side, label, target, line)
            else:
                arrival = Arrival(str(target), label)
            if arrival.label not in (join, END):
                arrival = self.follow(side, arrival.label, arrival.previous, join if join != END else None)
            if arrival.label != END and arrival.previous != MERGED:
                self.join(side, arrival.label, arrival.previous)
            ways.append((side, arrival, self.operations, self.versions))
        self.nesting -= 1
        self.operations, self.versions = before, versions
        return self._met(frame, here, ways, join, line)

    def _met(
        self,
        frame: Frame,
        here: object,
        ways: list[tuple[Frame, Arrival, list[Operation], Layer[int, int]]],
        join: str,
        line: int,
    ) -> Arrival:
        """Goes on where two ways have met, with values that are one of two."""
        (one, at, then, versions), (other, there, otherwise, other_versions) = ways
        if at.label != there.label:
            raise UnsupportedFeature(
                f"line {line}: one side of the branch ends the function, the other does not"
            )
        self.emit_choice(here, tuple(then), tuple(otherwise), line)
        names_one: dict[Bit, Bit] = {}
        names_other: dict[Bit, Bit] = {}
        for result in versions.own.keys() | other_versions.own.keys():
            left, right = versions.get(result, 0), other_versions.get(result, 0)
            if left != right:
                merged = Bit(result, self.new_version())
                names_one[Bit(result, left)] = names_other[Bit(result, right)] = merged
                self.versions[result] = merged.version
            else:
                self.versions[result] = left

        def merged_value(left: object, right: object) -> object:
            if same(left, right):
                return left
            renamed = (self.diagrams.renamed(left, names_one), self.diagrams.renamed(right, names_other))
            return self.diagrams.select(here, *renamed)

        if at.label == END:
            return Arrival(END, at.previous, merged_value(at.value, there.value))
        # What neither way changed stays as it is.
        for name in one.values.own.keys() | other.values.own.keys():
            if name in one.values and name in other.values:
                frame.values[name] = merged_value(one.values[name], other.values[name])
        return Arrival(at.label, MERGED)

    # Instructions.

    def step(self, frame: Frame, instruction: Instruction) -> None:
        """Follows one instruction."""
        self.count(instruction)
        if instruction.opcode == "call":
            value = self.call(frame, instruction)
        else:
            value = arithmetic.compute(
                instruction,
                lambda kind, text: self.value(frame, kind, text, instruction.line),
                self.diagrams,
                self.loops.trip,
            )
        if instruction.result is not None:
            frame.values[instruction.result] = value

    def count(self, instruction: Instruction) -> None:
        """Counts an instruction; raises TooLarge for too many without an operation."""
        self.idle += 1
        if self.idle > MAX_IDLE:
            raise TooLarge(
                f"line {instruction.line}: more than {MAX_IDLE} instructions are followed without any operation "
                "on a qubit; is this a loop without end?"
            )

    def value(self, frame: Frame, kind: str, text: str, line: int) -> object:
        """The value of an operand."""
        found = operand(kind, text, line)
        return self.known(frame, found, line)

    def known(self, frame: Frame, found: object, line: int) -> object:
        """A constant, or the value that a name stands for."""
        if isinstance(found, Local):
            try:
                return frame.values[found.name]
            except KeyError:
                raise ParseError(f"%{found.name} has no value here", line, 1) from None
        return found

    def call(self, frame: Frame, instruction: Instruction) -> object:
        """What a call gives, its operations emitted."""
        line = instruction.line
        parsed = self._calls.get(instruction.rest)
        if parsed is None:
            found = CALL.match(instruction.rest)
            if found is None:
                raise UnsupportedFeature(f"line {line}: only calls of named functions are read")
            operands = [typed(part, line)[1] for part in arguments(found[2], line)]
            parsed = self._calls[instruction.rest] = (unquoted(found[1]), operands)
        name = parsed[0]
        given = [self.known(frame, part, line) if type(part) is Local else part for part in parsed[1]]
        gate = names.GATE_OF.get(name)
        if gate is not None:
            self.gate(gate, name, given, line)
            return None
        if name in self.module.functions:
            function = self.module.functions[name]
            if len(given) != len(function.parameters):
                raise ParseError(
                    f"{name} takes {len(function.parameters)} arguments, not {len(given)}", line, 1
                )
            values = {
                parameter: value for (_, parameter), value in zip(function.parameters, given, strict=True)
            }
            return self.enter(function, values, frame.depth + 1)
        return self.runtime(name, given, instruction)


#: In the place of a block before, where the phis are set already.
MERGED = "\0"


def _typed_text(text: str) -> tuple[str, str]:
    kind, _, rest = text.partition(" ")
    return kind, rest
