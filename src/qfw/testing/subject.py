"""Subject: what a check asks, whether it is a device of a platform or an engine in this process."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Sequence
from typing import Any

import numpy as np
import numpy.typing as npt

from qfw.model.calibration import Calibration
from qfw.model.device import DeviceKind, DeviceProfile
from qfw.model.outputs import Counts, Output, encode_answers
from qfw.model.result import Result
from qfw.model.seeds import set_seeds
from qfw.model.timeline import Timeline
from qfw.testing.checks import NotApplicable
from qfw.testing.circuits import Circuits, Placed
from qfw.testing.expected import Floats, noise_bound
from qfw.testing.shapes import verify

#: Shots of a statistical check.
SHOTS = 4000


class Subject(ABC):
    """A thing that answers programs."""

    def __init__(self, profile: DeviceProfile, calibration: Calibration | None) -> None:
        """As `profile` says that it is."""
        self.profile = profile
        self.calibration = calibration
        self.circuits = Circuits(profile, calibration)

    @abstractmethod
    def ask(
        self,
        placed: Placed,
        outputs: Sequence[Output],
        *,
        parameters: npt.ArrayLike | None = None,
        shots: int = 0,
        seed: int = 1,
    ) -> Result:
        """The answers, whose form was checked. Raises Failed, Stuck, or the typed error it answers with."""

    #: Whether it lowers gates that are not native.
    lowers = False

    @property
    def noisy(self) -> bool:
        """Whether it is not ideal."""
        return self.calibration is not None or self.profile.kind is not DeviceKind.SIMULATOR

    def bound(self, placed: Placed) -> float:
        """Total variation by which noise may lead it away; 1 where nobody can say."""
        if not self.noisy:
            return 0.0
        if self.calibration is None:
            return 1.0
        return noise_bound(placed.placed, self.calibration, self.profile.timing)

    def answers(self, *kinds: type[Any]) -> None:
        """Raises NotApplicable unless it answers all these kinds of outputs."""
        for kind in kinds:
            tag = kind.__struct_config__.tag
            if tag not in self.profile.outputs:
                raise NotApplicable(f"it does not answer {tag}, and does not claim to")

    def exact(self) -> None:
        """Raises NotApplicable unless it answers without shots."""
        if not self.profile.exact:
            raise NotApplicable("it answers with shots only, and says so")

    def ideal(self, what: str) -> None:
        """Raises NotApplicable where it is noisy."""
        if self.noisy:
            raise NotApplicable(f"{what} is certain of an ideal device only")

    def shots(self, wanted: int = SHOTS) -> int:
        """So many shots, or as many as a task may have."""
        return min(wanted, self.profile.max_shots)

    def counts(
        self, placed: Placed, *, shots: int = SHOTS, seed: int = 1, **asked: Any
    ) -> list[dict[str, int]]:
        """Counts of each set."""
        self.answers(Counts)
        found = self.ask(placed, (Counts(),), shots=self.shots(shots), seed=seed, **asked)
        return found.counts


class EngineSubject(Subject):
    """An engine in this process."""

    def __init__(self, name: str, kind: Any) -> None:
        """Of the class `kind`. Raises NotInstalled where its framework is missing."""
        super().__init__(
            DeviceProfile(
                name=name,
                kind=DeviceKind.SIMULATOR,
                engine=name,
                max_qubits=kind.max_qubits,
                native_gates=tuple(sorted(kind.native_gates)),
                outputs=tuple(sorted(kind.outputs)),
                slots=1,
                control=kind.control,
            ),
            None,
        )
        self.kind = kind
        self.engine = kind(1, 1)
        #: As a worker keeps them: of each program once.
        self._prepared: dict[bytes, Any] = {}

    def ask(
        self,
        placed: Placed,
        outputs: Sequence[Output],
        *,
        parameters: npt.ArrayLike | None = None,
        shots: int = 0,
        seed: int = 1,
    ) -> Result:
        """See Subject. Sets have the seeds that a task with `seed` gives them."""
        program = placed.placed
        values = table(parameters, program.num_slots)
        sets = len(values)
        if program.digest not in self._prepared:
            self._prepared[program.digest] = self.engine.prepare(program)
        prepared = self._prepared[program.digest]
        answers = self.engine.run(prepared, tuple(outputs), values, shots, set_seeds(seed, 0, sets))
        verify(answers, program, outputs, sets, shots)
        return Result(0, self.profile.name, encode_answers(answers), sets, Timeline())


def table(parameters: npt.ArrayLike | None, slots: int) -> Floats:
    """Parameters of shape (sets, slots); one set of nothing where None."""
    if parameters is None:
        return np.zeros((1, slots))
    return (
        np.ascontiguousarray(parameters, dtype=np.float64).reshape(-1, slots)
        if slots
        else np.zeros((len(np.asarray(parameters)), 0))
    )
