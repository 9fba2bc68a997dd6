"""QFWBackend: the Qiskit backend for one type of engine, and never for another."""

from __future__ import annotations

from typing import Any

from qfw.model.errors import NotInstalled, OptionError, UnknownDevice
from qfw.qiskit import Backend
from qfw.qpi import QStream, Session
from qfw_qiskit.types import QFWBackendCapability, QFWBackendType


class QFWBackend(Backend):
    """A Qiskit BackendV2 that runs on the engine of one type.

    Everything else is as `qfw.qiskit.Backend` has it: it opens nothing before its first use, and shares the
    session of its process. Where the engine is not installed, the first use says so; nothing runs elsewhere.
    """

    def __init__(
        self,
        *,
        betype: QFWBackendType,
        capability: QFWBackendCapability | None = None,
        session: Session | None = None,
        seed: int | None = None,
        **options: Any,
    ) -> None:
        """Prepares the backend; opens nothing yet.

        Args:
            betype: the engine.
            capability: how it is to compute; None for what the type does.
            session: the session to use; None for the one that all of the process share.
            seed: makes the results of this backend's calls repeat; None for fresh ones.
            options: other defaults of `run`'s options.

        Raises:
            OptionError: an argument of another kind, or a capability that the type does not have.
        """
        _check(betype, capability)
        super().__init__(betype.value, session=session, seed=seed, **options)
        self._type = betype
        self._capability = capability or betype.capabilities[0]

    @property
    def betype(self) -> QFWBackendType:
        """The engine."""
        return self._type

    @property
    def capability(self) -> QFWBackendCapability:
        """How it computes."""
        return self._capability

    def qfw_stream(self) -> QStream:
        """The stream of tasks to the engine; opened at the first need.

        Raises:
            NotInstalled: the engine is not there, and what would bring it.
            QFwError: as `qfw.qiskit.Backend.qfw_stream` raises.
        """
        try:
            return super().qfw_stream()
        except UnknownDevice as error:
            raise NotInstalled(
                f"{self._type.name} asks for the device {self._type.value!r}, which the daemon does not have: {error}. "
                f"It needs {self._type.needs}, where the daemon runs; see: qfw doctor. Or choose another "
                "QFWBackendType: none stands in for this one"
            ) from error


def _check(betype: object, capability: object) -> None:
    if not isinstance(betype, QFWBackendType):
        raise OptionError(f"betype is {betype!r}; give one of {_names(QFWBackendType)}")
    if capability is None:
        return
    if not isinstance(capability, QFWBackendCapability):
        raise OptionError(f"capability is {capability!r}; give one of {_names(QFWBackendCapability)}")
    if capability not in betype.capabilities:
        has = ", ".join(known.name for known in betype.capabilities)
        able = ", ".join(kind.name for kind in QFWBackendType if capability in kind.capabilities)
        raise OptionError(f"{betype.name} has {has}, not {capability.name}; types that have it: {able}")


def _names(kind: type[QFWBackendType] | type[QFWBackendCapability]) -> str:
    return ", ".join(f"{kind.__name__}.{member.name}" for member in kind)
