"""Every error that QFw raises on purpose: one tree, and its form on the wire.

QFwError
├── ProgramError             your program is wrong: again would fail again
│   ├── ParseError           the text cannot be read (line, column)
│   ├── UnsupportedFeature   correct, but this device or engine does not do it
│   ├── ParameterError       wrong number, shape or value of parameters
│   ├── CompiledFileError    a .qfw file that is damaged, cut off, of another format, or none
│   └── TooLarge             beyond what the device holds, by estimate
├── RequestError             the call is wrong: options, names
│   ├── UnknownDevice        no such device, engine, platform or tool
│   ├── UnknownTask          no task of that name, or one that is not kept for others
│   ├── ResultExpired        its result was kept, and is not any more
│   ├── OptionError          shots, seed, timeout … out of range
│   └── UsageError           closed session, used after fork, …
├── NotAllowed               somebody else's
│   └── ForeignOwner         a socket or folder that belongs to another user
├── NoCapacity               not now: try later (retry_after_s)
├── SetupError               this machine or configuration is not ready
│   ├── ConfigError          file, key, allowed values
│   ├── NotInstalled         an optional package is missing
│   ├── SocketPathTooLong    over the limit of the operating system
│   ├── BrokenPlugin         an installed plugin that does not load, or lacks what it claims
│   ├── CalibrationError     a calibration or device model with an impossible value
│   ├── NetworkFileSystem    a runtime folder where sockets and journals are unsafe
│   ├── JournalDamaged       a record of the journal fails its checksum
│   └── ResultDamaged        a result that was kept on disk fails its checksum
├── PlatformFailed           the device or its worker failed
│   ├── OutOfMemory          a worker met its memory limit
│   ├── DeadlineExceeded     a task ran past its deadline and was ended
│   ├── WorkerLost           workers died under this task too often
│   ├── TaskInterrupted      its device failed, or its daemon ended, before it was answered; not repeated by itself
│   ├── StaleCalibration     lowered for a calibration that is no longer the device's: lower again
│   ├── NotLowered           nobody can lower the program: its client is gone, or the daemon lacks the tool
│   ├── ToolFailed           a tool of the pipeline failed, or its worker died under it
│   ├── StaleEpoch           a start or answer of an execution that was given up
│   └── WrongAnswer          what the device answered is not what was asked
├── ConnectionFailed         between this process and the daemon
│   ├── DaemonUnreachable    nobody answers there
│   ├── DaemonLost           it answered, and then went away
│   ├── VersionMismatch      client and daemon speak different versions
│   └── WireError            a message that breaks the protocol
├── ResultTimeout            waited for longer than asked (the task goes on)
├── DependencyFailed         an operation whose result it needed failed: that one's error is the cause
├── TaskCancelled            cancelled before it was answered
└── InternalError            our fault: please report it
"""

from __future__ import annotations

import msgspec


class QFwError(Exception):
    """Root of all errors raised by QFw on purpose."""

    #: Whether the same request may succeed when simply sent again.
    retryable: bool = False
    #: Seconds after which a retry makes sense; None where unknown.
    retry_after_s: float | None = None


class ProgramError(QFwError, ValueError):
    """The program is wrong; sending it again would fail again."""


class ParseError(ProgramError):
    """The text of a program cannot be read."""

    line: int | None
    column: int | None

    def __init__(self, message: str, line: int | None = None, column: int | None = None) -> None:
        """`line` and `column` count from 1; they are put in front of the message."""
        where = f"line {line}:{column}: " if line is not None else ""
        super().__init__(where + message)
        self.line = line
        self.column = column


class UnsupportedFeature(ProgramError):
    """A correct program that this device, engine or format does not support."""


class ParameterError(ProgramError):
    """Parameters of the wrong number, shape or value."""


class CompiledFileError(ProgramError):
    """A .qfw file that is damaged, cut off, of another version of the format, or none."""


class TooLarge(ProgramError):
    """More than the device holds, by estimate, before anything was allocated."""


class RequestError(QFwError, ValueError):
    """The call itself is wrong."""


class UnknownDevice(RequestError):
    """No device, engine, platform or tool of that name."""


class UnknownTask(RequestError):
    """No task of that name here, or one that is not kept for other sessions."""


class ResultExpired(RequestError):
    """The result of a task was kept for a while, and is not any more."""


class OptionError(RequestError):
    """An option outside its range."""


class UsageError(RequestError):
    """An object used when it may not be: closed, after fork, twice."""


class NotAllowed(QFwError, PermissionError):
    """The request concerns what belongs to somebody else."""


class ForeignOwner(NotAllowed):
    """A socket or folder that belongs to another user."""


class NoCapacity(QFwError):
    """Not now; try again later."""

    retryable = True


class SetupError(QFwError):
    """This machine or its configuration is not ready."""


class ConfigError(SetupError, ValueError):
    """A configuration file is wrong."""


class NotInstalled(SetupError, ImportError):
    """An optional package is missing."""


class SocketPathTooLong(SetupError):
    """A Unix socket's path exceeds what the operating system allows."""


class BrokenPlugin(SetupError):
    """An installed plugin that does not load, or lacks what it claims."""


class CalibrationError(SetupError, ValueError):
    """A calibration, or a device's model, with a value that cannot be."""


class NetworkFileSystem(SetupError):
    """Sockets and journals are refused on network file systems."""


class JournalDamaged(SetupError):
    """A journal record cannot be believed."""


class ResultDamaged(SetupError):
    """A result that was kept on disk cannot be believed."""


class PlatformFailed(QFwError):
    """The device, or the worker behind it, failed."""

    retryable = True


class OutOfMemory(PlatformFailed):
    """A worker met its memory limit while running the task."""

    retryable = False


class DeadlineExceeded(PlatformFailed):
    """A task ran past its deadline and was ended."""

    retryable = False


class WorkerLost(PlatformFailed):
    """Workers died under this task more often than is allowed."""


class TaskInterrupted(PlatformFailed):
    """The device failed while it ran the task, or a detached task's daemon ended before it was answered.

    On hardware nothing is repeated without its owner.
    """


class StaleCalibration(PlatformFailed):
    """The task was lowered for a calibration that is no longer the device's: lower it again and resend."""


class NotLowered(PlatformFailed):
    """A task waits for a lowered program that nobody is there to make."""

    retryable = False


class ToolFailed(PlatformFailed):
    """A tool of the pipeline failed on the program, or its worker died under it."""

    retryable = False


class StaleEpoch(PlatformFailed):
    """A start, or an answer, of an execution that was given up for a later one."""

    retryable = False


class WrongAnswer(PlatformFailed):
    """What the device answered is not what was asked: shape, shots, bits."""

    retryable = False


class ConnectionFailed(QFwError, ConnectionError):
    """Between this process and the daemon."""

    retryable = True


class DaemonUnreachable(ConnectionFailed):
    """No daemon answers at the address."""


class DaemonLost(ConnectionFailed):
    """The daemon went away while requests were open."""


class VersionMismatch(ConnectionFailed):
    """Client and daemon speak different versions of the wire."""

    retryable = False


class WireError(ConnectionFailed):
    """A message that breaks the protocol."""

    retryable = False


class ResultTimeout(QFwError, TimeoutError):
    """The wait was longer than asked for. The task itself goes on."""

    retryable = True


class TaskCancelled(QFwError):
    """The task was cancelled before it was answered."""


class DependencyFailed(QFwError):
    """An operation whose result this one needed failed or was cancelled; `__cause__` says why."""


class InternalError(QFwError):
    """A defect of QFw."""


class ErrorReport(msgspec.Struct, frozen=True, array_like=True):
    """An error as it travels and as it is journalled."""

    #: Name of a class of this module.
    code: str
    #: What was asked, what was found, where, and what to do.
    message: str
    retry_after_s: float | None = None

    def to_exception(self) -> QFwError:
        """The exception that this report stands for; an unknown code becomes InternalError."""
        kind = _BY_NAME.get(self.code)
        if kind is None:
            return InternalError(f"{self.code}: {self.message}")
        error = kind(self.message)
        error.retry_after_s = self.retry_after_s
        return error

    @staticmethod
    def of(error: BaseException) -> ErrorReport:
        """The report of any exception; foreign ones are our fault and say which they were."""
        if isinstance(error, QFwError) and type(error).__name__ in _BY_NAME:
            return ErrorReport(type(error).__name__, str(error), error.retry_after_s)
        return ErrorReport("InternalError", f"{type(error).__name__}: {error}")


def _tree(kind: type[QFwError]) -> dict[str, type[QFwError]]:
    found = {kind.__name__: kind}
    for child in kind.__subclasses__():
        found.update(_tree(child))
    return found


_BY_NAME = _tree(QFwError)
