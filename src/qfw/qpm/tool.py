"""Protocol of a tool: what transforms a program on its way to a device.

A plugin of the entry point group `qfw.tools` is a class. Its module must import without its framework;
the framework is imported by the constructor, inside a limited worker or in the application.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, ClassVar, NamedTuple, Protocol, runtime_checkable

import msgspec

from qfw.model.calibration import Calibration
from qfw.model.device import DeviceProfile
from qfw.model.program import Program


class Target(msgspec.Struct, frozen=True):
    """What a program is lowered for."""

    profile: DeviceProfile
    #: None of an ideal device.
    calibration: Calibration | None = None

    @property
    def version(self) -> str:
        """Version of the calibration; empty where there is none."""
        return self.calibration.version if self.calibration else ""


class ToolOutput(NamedTuple):
    """What a tool made of a program."""

    program: Program
    #: Where each qubit of the program that it was given is at the end; None: where it was.
    layout: tuple[int, ...] | None = None


@runtime_checkable
class Tool(Protocol):
    """Transforms programs; pure: equal programs, targets and options give equal programs.

    Slots survive: a tool transforms the parametric program, and slot i of what it gives is slot i of what it got.
    """

    #: What it keeps: `equivalence` (up to a global phase and the layout), `distribution` or `expectation`.
    keeps: ClassVar[str]
    #: Whether it must run in the application's process.
    needs_client: ClassVar[bool]
    #: What each option says, with its range and what it is by default; for people.
    options: ClassVar[Mapping[str, str]]

    def __init__(self) -> None:
        """Imports the framework.

        Raises:
            NotInstalled: it is missing, with what to install.
        """
        ...

    @classmethod
    def version(cls) -> str | None:
        """Version of the tool or its framework, found without importing it; None where it is not installed."""
        ...

    @classmethod
    def check_options(cls, options: Mapping[str, Any]) -> None:
        """Raises OptionError for one that it does not know (names the nearest), or a wrong value."""
        ...

    def apply(self, program: Program, target: Target, options: Mapping[str, Any]) -> ToolOutput:
        """The program, transformed.

        Raises:
            ProgramError: it cannot be, for this target; says why.
        """
        ...
