"""ToolSubject: a tool that is checked, called within limits of time; in this process, and in another one."""

from __future__ import annotations

import copy
import sys
import threading
from collections.abc import Callable, Mapping
from typing import Any, TypeVar

import msgspec

from qfw.model.errors import ProgramError
from qfw.model.program import Program
from qfw.qpm.tool import Target, ToolOutput, compares, needs_of, splits
from qfw.testing.checks import Failed, NotApplicable, Stuck, expect
from qfw.testing.tool_programs import targets

#: Seconds that a call may take where the tool says nothing: what settings give a pipeline by default.
LIMIT_S = 120.0

T = TypeVar("T")


class ToolSubject:
    """A tool's class, an object of it, and the options that it is checked with."""

    def __init__(self, name: str, kind: Any, options: Mapping[str, Any], more: Mapping[str, Target]) -> None:
        """Makes the object; `more`: targets besides the kit's own. Raises NotInstalled."""
        self.name = name
        self.kind = kind
        self.options = dict(options)
        self.tool = kind()
        self.targets: dict[str, Target] = {**targets(), **more}

    @property
    def limit_s(self) -> float:
        """Seconds that it may take for one program."""
        return needs_of(self.kind).time_s or LIMIT_S

    def transforms(self) -> None:
        """Raises NotApplicable unless it is a Tool."""
        if splits(self.kind):
            raise NotApplicable("it makes several programs of one")
        if compares(self.kind):
            raise NotApplicable("it compares programs and makes none")

    def splits(self) -> None:
        """Raises NotApplicable unless it is a SplittingTool."""
        if not splits(self.kind):
            raise NotApplicable("it makes one program of one")

    def compares(self) -> None:
        """Raises NotApplicable unless it is a CheckingTool."""
        if not compares(self.kind):
            raise NotApplicable("it makes programs")

    def apply(self, program: Program, target: Target, tool: Any = None) -> ToolOutput:
        """What it makes of a program, of which the form was checked. Raises Failed, Stuck, or what it raises."""
        before = (program.encoded, msgspec.msgpack.encode(target), copy.deepcopy(self.options))
        given: ToolOutput = within(
            self.limit_s, lambda: (tool or self.tool).apply(program, target, self.options)
        )
        again = Program(program.num_qubits, program.num_clbits, program.num_slots, program.operations)
        after = (again.encoded, msgspec.msgpack.encode(target), self.options)
        expect(before == after, "program, target and options as they were given", "one of them changed")
        expect(isinstance(given, ToolOutput), "a ToolOutput", type(given).__name__)
        return given

    def taken(self, program: Program, target: Target) -> ToolOutput | None:
        """As `apply`; None where it says that this program cannot be transformed for this target."""
        try:
            return self.apply(program, target)
        except ProgramError as error:
            expect(len(str(error)) >= 12, "an error that says what was asked and found", repr(error))
            return None

    @property
    def importable(self) -> str:
        """The class as module:name, by which another process finds it. Raises NotApplicable where none would."""
        found: Any = sys.modules.get(self.kind.__module__)
        for part in self.kind.__qualname__.split("."):
            found = getattr(found, part, None)
        if found is not self.kind or self.kind.__module__ == "__main__":
            raise NotApplicable("its class is no top-level name of a module, so no other process can load it")
        return f"{self.kind.__module__}:{self.kind.__qualname__}"


def within(limit_s: float, call: Callable[[], T]) -> T:
    """What a call gives or raises. Raises Stuck where it does not return in time; its thread is left behind."""
    found: list[T] = []
    raised: list[BaseException] = []

    def run() -> None:
        try:
            found.append(call())
        except BaseException as error:
            # Whatever it is is raised where the check can say it.
            raised.append(error)

    thread = threading.Thread(target=run, daemon=True, name="qfw-check-tool")
    thread.start()
    thread.join(limit_s)
    if thread.is_alive():
        raise Stuck(f"an answer within {limit_s:g} s", "none")
    if raised:
        if isinstance(raised[0], Exception):
            raise raised[0]
        raise Failed("an answer or an error", f"{type(raised[0]).__name__}: {raised[0]}")
    return found[0]
