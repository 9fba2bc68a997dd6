"""What the pool's workers can hold: how many there are, the memory of each, and which tasks fit into it."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any, NamedTuple

from qfw.config.discover import cores, memory_bytes
from qfw.config.settings import WorkerSettings
from qfw.model.device import DeviceKind, DeviceProfile, Estimate
from qfw.model.errors import ConfigError, TooLarge, UnsupportedFeature
from qfw.model.outputs import Output
from qfw.model.program import Program

#: Memory that a Python process with its engine takes before the first task.
BASE_BYTES = 600 * 2**20
MIN_ROOM_BYTES = 2**20
#: Memory for tasks that a worker has at least where the number of workers is ours to choose.
USUAL_ROOM_BYTES = 512 * 2**20


class Capacity(NamedTuple):
    """Of the workers of each engine."""

    workers: int
    #: Memory of each, its engine included.
    worker_bytes: int

    @classmethod
    def of(cls, settings: WorkerSettings) -> Capacity:
        """On this machine. Raises ConfigError: see `share`."""
        return cls(*share(settings, cores(), memory_bytes()))

    @property
    def room_bytes(self) -> int:
        """Memory of a worker for tasks."""
        return max(self.worker_bytes - BASE_BYTES, MIN_ROOM_BYTES)

    def profile(self, platform: str, name: str, kind: Any, version: str) -> DeviceProfile:
        """An engine as a device of a platform."""
        # Two states: the one that evolves, and the one that an output is computed from.
        by_memory = int(math.log2(self.room_bytes / 32))
        return DeviceProfile(
            name=name,
            kind=DeviceKind.SIMULATOR,
            engine=name,
            max_qubits=min(by_memory, kind.max_qubits),
            native_gates=tuple(sorted(kind.native_gates)),
            outputs=tuple(sorted(kind.outputs)),
            slots=self.workers,
            version=version,
            preference=kind.preference,
            preferred_qubits=kind.preferred_qubits,
            control=kind.control,
            platform=platform,
        )

    def estimate(
        self,
        kind: Any,
        profile: DeviceProfile,
        program: Program,
        outputs: Sequence[Output],
        sets: int,
        shots: int,
    ) -> Estimate:
        """What a task takes of a worker of the engine `kind`.

        Raises:
            TooLarge: no worker holds it.
            UnsupportedFeature: the engine does not run such programs, or does not answer that.
        """
        if program.num_qubits > profile.max_qubits:
            raise TooLarge(_too_large(program.num_qubits, profile, self.worker_bytes))
        if program.has_control and not profile.control:
            raise UnsupportedFeature(
                f"the program measures, resets or branches before its end; device {profile.name} runs gates with "
                "measurements at the end only. Choose a device with control: aer, for example"
            )
        for output in outputs:
            tag = output.__struct_config__.tag
            if tag not in kind.outputs:
                raise UnsupportedFeature(
                    f"device {profile.name} does not answer {tag}; it answers {', '.join(sorted(kind.outputs))}"
                )
        estimate: Estimate = kind.estimate(program, outputs, sets, shots)
        # The table that binds slots to angles is dense; an engine need not know of it.
        table_bytes = 8 * program.num_angles * program.num_slots
        estimate = Estimate(estimate.cost_s, estimate.memory_bytes + table_bytes)
        if estimate.memory_bytes > self.room_bytes:
            raise TooLarge(
                f"the task would take {_size(estimate.memory_bytes)} on {profile.name}; a worker holds "
                f"{_size(self.room_bytes)}. Send fewer parameter sets or shots per task, "
                f"or raise workers.memory_bytes"
            )
        return estimate


def share(settings: WorkerSettings, cores: int, memory_bytes: int) -> tuple[int, int]:
    """Workers of an engine, and the bytes of each, on so many cores and in so much memory.

    Raises:
        ConfigError: the settings leave a worker no memory for tasks.
    """
    least = BASE_BYTES + MIN_ROOM_BYTES
    if 0 < settings.memory_bytes < least:
        raise ConfigError(
            f"workers.memory_bytes is {settings.memory_bytes}; an engine takes {_size(BASE_BYTES)} before "
            f"its first task. Give {least} or more, or nothing"
        )
    usual = max(1, min(cores, memory_bytes // (BASE_BYTES + USUAL_ROOM_BYTES)))
    count = settings.count or usual
    each = settings.memory_bytes or int(0.8 * memory_bytes / count)
    if settings.count > 1 and each < least:
        raise ConfigError(
            f"workers.count is {count}, which leaves {_size(each)} to each worker (four fifths of "
            f"{_size(memory_bytes)}, shared); an engine takes {_size(BASE_BYTES)} before its first task. "
            f"Give {max(1, int(0.8 * memory_bytes / least))} or fewer, or nothing for {usual}"
        )
    return count, each


def _size(count: float) -> str:
    units = ("bytes", "KiB", "MiB", "GiB", "TiB", "PiB")
    step = min(int(math.log2(max(count, 1)) / 10), len(units) - 1)
    return f"{count / 1024**step:.4g} {units[step]}"


def _too_large(num_qubits: int, profile: DeviceProfile, worker_bytes: int) -> str:
    state = _size(16.0 * 2.0 ** min(num_qubits, 900))
    return (
        f"the program needs {num_qubits} qubits; {profile.name} holds {profile.max_qubits} here "
        f"({state} for a statevector, {_size(worker_bytes)} for a worker). "
        f"Use fewer qubits, or fewer workers with more memory each (workers.count, workers.memory_bytes)"
    )
