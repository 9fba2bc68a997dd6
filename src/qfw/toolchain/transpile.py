"""Tool `transpile`: programs into a device's native gates, on its coupled qubits, by Qiskit's passes or by tket's."""

from __future__ import annotations

import logging
from collections.abc import Callable, Mapping
from typing import Any, ClassVar

from qfw.model import constants
from qfw.model.device import DeviceProfile
from qfw.model.errors import NotInstalled, TooLarge, UnsupportedFeature
from qfw.model.native import check_native
from qfw.model.program import Barrier, Delay, Measure, Operation, Program
from qfw.qpm.tool import Target, ToolOutput
from qfw.toolchain.installed import installed
from qfw.toolchain.options import check_names, choice, integer

logger = logging.getLogger(__name__)

COMPILERS = ("qiskit", "tket")
DEFAULT_LEVEL = 1
MAX_LEVEL = 3


class TranspileTool:
    """Native gates, coupling and, where the device is calibrated, the qubits and pairs that err least.

    What is measured at the end stays measured at the end: of a program without control the measurements are put aside
    and set behind the lowered one, on the qubits that theirs came to. Loops keep their bounds.

    From level 2 on, passes may merge angles in ways that no affine function of the slots says. Such a program is
    lowered again at the next lower level, and so on; the log says so.
    """

    keeps: ClassVar[str] = "equivalence"
    needs_client: ClassVar[bool] = False
    binds: ClassVar[bool] = True
    lowers: ClassVar[bool] = True
    options: ClassVar[Mapping[str, str]] = {
        "compiler": "whose passes: qiskit, or tket (of programs without control and delays); qiskit by default",
        "level": f"effort, 0 to {MAX_LEVEL}, {DEFAULT_LEVEL} by default; of qiskit its optimization_level",
        "constants": "at which it looks: all (by default); special: multiples of pi/4, the others are lowered as slots "
        "are; none: each is lowered as a slot is. Programs that differ in the others only are lowered once",
        "seed": "of Qiskit's search for a layout and a routing, 0 by default: another one may find a better",
    }

    def __init__(self) -> None:
        """Imports Qiskit's transpiler."""
        try:
            from qfw.toolchain import qiskit_passes
        except ImportError as error:
            raise NotInstalled(
                f"tool transpile needs Qiskit, which is not installed ({error}): pip install 'qfw[qiskit]'"
            ) from error
        self._lowered = qiskit_passes.lowered

    @classmethod
    def version(cls) -> str | None:
        """Qiskit's version, and pytket's where that is installed; None without Qiskit."""
        qiskit, tket = installed("qiskit"), installed("pytket")
        return f"{qiskit}, pytket {tket}" if qiskit and tket else qiskit

    @classmethod
    def check_options(cls, options: Mapping[str, Any]) -> None:
        """Raises OptionError for an unknown option, or one outside its range."""
        check_names("transpile", options, cls.options)
        choice("transpile", options, "compiler", COMPILERS)
        choice("transpile", options, "constants", constants.READS)
        _level(options), _seed(options)

    @classmethod
    def constants(cls, options: Mapping[str, Any]) -> str:
        """At which constants it looks; see `qfw.qpm.tool.constants_of`."""
        return choice("transpile", options, "constants", constants.READS)

    def apply(self, program: Program, target: Target, options: Mapping[str, Any]) -> ToolOutput:
        """The program in native gates of the target, as wide as the device where that couples its qubits.

        Raises:
            TooLarge: more qubits than the device has.
            UnsupportedFeature: control on a device that has none, or with compiler tket; no way to native gates on
                usable qubits, with what the compiler says.
            NotInstalled: compiler tket, without pytket.
        """
        self.check_options(options)
        _check_fits(program, target.profile)
        lifted, values = constants.lifted(program, self.constants(options))
        if values:
            try:
                program_of, layout = self._transpiled(lifted, target, options)
            except UnsupportedFeature as error:
                logger.info("transpile: constants stay constants: %s", error)
            else:
                return ToolOutput(constants.restored(program_of, values), layout)
        return ToolOutput(*self._transpiled(program, target, options))

    def _transpiled(
        self, program: Program, target: Target, options: Mapping[str, Any]
    ) -> tuple[Program, tuple[int, ...] | None]:
        """The program in native gates with its constants as they are, and its layout. Raises as `apply`."""
        compiler = choice("transpile", options, "compiler", COMPILERS)
        lowered_by = self._lowered if compiler == "qiskit" else _tket(program)
        body, measured = (program, ()) if program.has_control else _split(program)
        for level in range(_level(options), -1, -1):
            found = lowered_by(body, target, level, _seed(options))
            if found is not None:
                break
            logger.info("transpile: level %d leaves angles that are not affine in the slots", level)
        else:
            raise UnsupportedFeature(
                f"lowered for {target.profile.name} by {compiler}, at every level, the program has an angle that "
                "is not affine in its slots; bind the parameters first"
            )
        lowered, layout = found
        if measured:
            ending = tuple(Measure(layout[m.qubit] if layout else m.qubit, m.clbit) for m in measured)
            lowered = Program(
                lowered.num_qubits, program.num_clbits, program.num_slots, lowered.operations + ending
            )
        check_native(lowered, target.profile)
        return lowered, layout


def _tket(program: Program) -> Callable[..., tuple[Program, tuple[int, ...] | None] | None]:
    """What lowers by tket. Raises NotInstalled, or UnsupportedFeature where it takes no such program."""
    if program.has_control:
        raise UnsupportedFeature(
            "compiler tket lowers programs of gates that measure at their end; this one measures, resets or branches "
            "before. Use compiler qiskit"
        )
    try:
        from qfw.toolchain import tket_passes
    except ImportError as error:
        raise NotInstalled(
            f"compiler tket of tool transpile needs pytket, which is not installed ({error}): pip install 'qfw[tket]'"
        ) from error
    return tket_passes.lowered


def _level(options: Mapping[str, Any]) -> int:
    return integer("transpile", options, "level", DEFAULT_LEVEL, 0, MAX_LEVEL)


def _seed(options: Mapping[str, Any]) -> int:
    return integer("transpile", options, "seed", 0, 0, 2**31 - 1)


def _check_fits(program: Program, profile: DeviceProfile) -> None:
    """Raises TooLarge or UnsupportedFeature where no lowering helps."""
    if profile.parts:
        raise UnsupportedFeature(
            f"{profile.name} is made of {', '.join(part.device for part in profile.parts)}, and between them there are "
            "entangled pairs only; have the program lowered by the tool distribute"
        )
    if program.num_qubits > profile.max_qubits:
        raise TooLarge(
            f"the program needs {program.num_qubits} qubits; {profile.name} has {profile.max_qubits}. "
            "Use a larger device, or have the program cut: tool cut in front of this stage"
        )
    if program.has_control and not profile.control:
        raise UnsupportedFeature(
            f"the program measures, resets or branches before its end; device {profile.name} does not"
        )


def _split(program: Program) -> tuple[Program, tuple[Measure, ...]]:
    """A program without control as its gates and its measurements.

    Passes that see a measurement take the liberty to change what it does not see, and routing may put a gate behind
    it; an expectation value would, and a device without control could not.
    """
    measured = tuple(op for op in program.operations if isinstance(op, Measure))
    if not measured:
        return program, ()
    kept: list[Operation] = []
    read: set[int] = set()
    for op in program.operations:
        if isinstance(op, Measure):
            read.add(op.qubit)
        elif not (isinstance(op, Delay) and op.qubit in read):
            # A delay behind its qubit's measurement would come before it, and change what is read.
            kept.append(op)
    while kept and isinstance(kept[-1], Barrier):
        kept.pop()
    return Program(program.num_qubits, program.num_clbits, program.num_slots, tuple(kept)), measured
