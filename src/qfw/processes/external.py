"""External tools: commands that settings declare as tools of pipelines. They read a program, and write one."""

from __future__ import annotations

import hashlib
import re
import shutil
from collections.abc import Mapping
from pathlib import Path
from typing import Any, ClassVar

import msgspec

from qfw.config import discover
from qfw.config.settings import ExternalTool, Settings, load
from qfw.model.errors import ConfigError, NotInstalled, OptionError, ProgramError, SetupError, ToolFailed
from qfw.model.program import Affine, Angle, Gate, IfElse, Operation, Program, While
from qfw.qpm import registry
from qfw.qpm.tool import Needs, Target, ToolOutput

#: What an external tool may be called.
NAME = re.compile(r"[A-Za-z][A-Za-z0-9_.-]{0,63}")
_COMMENTS = re.compile(r"//[^\n]*|/\*.*?\*/", re.DOTALL)
_INPUTS = re.compile(r"\binput\s+(?:float|angle)\s*(?:\[[^\]]*\])?\s*(\w+)\s*;")

#: What was declared from settings files here: their path, and when they were changed.
_known: dict[Path, tuple[int, int]] = {}


def declare(tools: Mapping[str, ExternalTool]) -> None:
    """Makes these tools plugins of this process.

    Raises:
        ConfigError: no command, or a name that none can have; an installed tool has it.
    """
    for name, declared in tools.items():
        if not NAME.fullmatch(name):
            raise ConfigError(
                f"tools.external.{name!r}: a tool's name is a letter, and then letters, digits, _, . and -, 64 at most"
            )
        if not declared.command or not all(declared.command):
            raise ConfigError(
                f"tools.external.{name}.command is {list(declared.command)}; it names a program, and its arguments"
            )
        try:
            registry.declare(registry.TOOLS, name, mark(declared), kind(name, declared))
        except SetupError as error:
            raise ConfigError(f"tools.external.{name}: {error}") from error


def declare_configured(path: Path | None = None) -> None:
    """Makes the tools of a settings file plugins of this process; once, until the file changes.

    Args:
        path: the file; None: the one that the environment names, if any.

    Raises:
        ConfigError: the file is wrong.
    """
    path = path or discover.config_path()
    if path is None:
        return
    try:
        found = path.stat()
    except OSError:
        # Who needs the file says so.
        return
    state = (found.st_mtime_ns, found.st_size)
    if _known.get(path) != state:
        settings: Settings = load(path)
        declare(settings.tools.external)
        _known[path] = state


def mark(declared: ExternalTool) -> str:
    """Of all that a declaration says: equal ones have equal marks, in any process."""
    return hashlib.blake2b(msgspec.json.encode(declared, order="deterministic"), digest_size=6).hexdigest()


def kind(name: str, declared: ExternalTool) -> type[Any]:
    """The tool's class."""
    return type(
        f"External_{re.sub(r'[^A-Za-z0-9_]', '_', name)}",
        (_External,),
        {
            "called": name,
            "declared": declared,
            "keeps": declared.keeps,
            "needs": Needs(time_s=declared.time_limit_s, memory_bytes=declared.memory_bytes),
            "__doc__": f"The external tool {name}: {' '.join(declared.command)}.",
        },
    )


class _External:
    """A Tool that is a command. It leaves qubits where they are; slot i is its input called pi."""

    called: ClassVar[str]
    declared: ClassVar[ExternalTool]
    keeps: ClassVar[str]
    needs: ClassVar[Needs]
    needs_client: ClassVar[bool] = False
    #: The command is, within its declaration's time and memory, with an error that repeats what it said.
    limits_itself: ClassVar[bool] = True
    #: What the command is today nobody can say.
    keeps_on_disk: ClassVar[bool] = False
    options: ClassVar[Mapping[str, str]] = {}

    def __init__(self) -> None:
        """Starts nothing. Raises NotInstalled where there is no such command."""
        if self.version() is None:
            raise NotInstalled(
                f"external tool {self.called}: there is no command {self.declared.command[0]!r}; install it, or "
                f"correct tools.external.{self.called}.command in the settings"
            )

    @classmethod
    def version(cls) -> str | None:
        """The mark of its declaration; None where the command is not there."""
        return mark(cls.declared) if shutil.which(cls.declared.command[0]) else None

    @classmethod
    def check_options(cls, options: Mapping[str, Any]) -> None:
        """Raises OptionError for any: what it is told stands in its command."""
        if options:
            raise OptionError(
                f"external tool {cls.called} has no option {next(iter(options))!r}; what it is told stands in "
                f"tools.external.{cls.called}.command of the settings"
            )

    def apply(self, program: Program, target: Target, options: Mapping[str, Any]) -> ToolOutput:
        """What the command writes of the program.

        Raises:
            ProgramError: its format has no words for the program.
            ToolFailed: the command fails, takes too long, writes too much, or what it writes is no such program.
        """
        from qfw.processes import command

        self.check_options(options)
        declared = self.declared
        what = f"external tool {self.called} ({declared.command[0]})"
        written = command.run(
            what,
            declared.command,
            _written(program, declared.format),
            time_limit_s=declared.time_limit_s,
            memory_bytes=declared.memory_bytes,
            output_bytes=declared.output_bytes,
        )
        try:
            found = _read(written, program, declared.format)
        except (ProgramError, UnicodeDecodeError) as error:
            raise ToolFailed(
                f"{what} wrote what is no {_CALLED[declared.format]}: {str(error)[:500]}"
            ) from error
        return ToolOutput(_alike(found, program, what))


_CALLED = {"qasm3": "OpenQASM 3", "qasm2": "OpenQASM 2", "qir": "QIR"}


def _written(program: Program, form: str) -> bytes:
    from qfw.formats import openqasm, qir

    if form == "qir":
        text = qir.dumps(program)
        assert isinstance(text, str)
        return text.encode()
    return openqasm.dumps(program, 3 if form == "qasm3" else 2).encode()


def _read(written: bytes, program: Program, form: str) -> Program:
    """The program; its slots in the order of the one that was given."""
    from qfw.formats import openqasm, qir

    if form == "qir":
        # QIR has no slots: there is one only of a program that uses none of its own.
        return msgspec.structs.replace(qir.loads(written), num_slots=program.num_slots)
    text = written.decode()
    found = openqasm.loads(text)
    if not program.num_slots:
        return found
    names = _INPUTS.findall(_COMMENTS.sub(" ", text))
    wanted = [f"p{slot}" for slot in range(program.num_slots)]
    missing = [name for name in wanted if name not in names]
    if missing or len(names) != len(wanted) or found.num_slots != len(wanted):
        raise ProgramError(
            f"of the inputs {', '.join(wanted)}, the program's slots, it leaves out {', '.join(missing) or 'none'} and "
            f"declares {', '.join(names) or 'none'}"
        )
    if names == wanted:
        return found
    index = {slot: wanted.index(name) for slot, name in enumerate(names)}
    return msgspec.structs.replace(found, operations=tuple(_renumbered(op, index) for op in found.operations))


def _renumbered(op: Operation, index: Mapping[int, int]) -> Operation:
    match op:
        case Gate():
            return Gate(op.name, op.qubits, tuple(_angle(angle, index) for angle in op.angles))
        case IfElse():
            then, otherwise = (tuple(_renumbered(o, index) for o in ops) for ops in (op.then, op.otherwise))
            return IfElse(op.clbits, op.value, then, otherwise)
        case While():
            return While(op.clbits, op.value, tuple(_renumbered(o, index) for o in op.body), op.max_trips)
    return op


def _angle(angle: Angle, index: Mapping[int, int]) -> Angle:
    if not isinstance(angle, Affine):
        return angle
    return Affine(tuple((index[slot], coefficient) for slot, coefficient in angle.terms), angle.offset)


def _alike(found: Program, program: Program, what: str) -> Program:
    """The program, where it has what the one that was given has. Raises ToolFailed."""
    if found.num_qubits < program.num_qubits:
        raise ToolFailed(f"{what}: {program.num_qubits} qubits went in, and {found.num_qubits} came out")
    if found.num_slots != program.num_slots:
        raise ToolFailed(f"{what}: {program.num_slots} slots went in, and {found.num_slots} came out")
    if program.has_measurements != found.has_measurements:
        there, then = (
            ("measures", "nothing") if program.has_measurements else ("measures nothing", "something")
        )
        raise ToolFailed(
            f"{what}: the program that went in {there}, and the one that came out measures {then}"
        )
    if program.has_measurements and found.num_clbits != program.num_clbits:
        raise ToolFailed(
            f"{what}: {program.num_clbits} classical bits went in, and {found.num_clbits} came out"
        )
    if not program.has_measurements and found.num_clbits < program.num_clbits:
        # A text without measurements may well do without the register.
        return msgspec.structs.replace(found, num_clbits=program.num_clbits)
    return found
