"""Bench: one device of a platform on the stand, as the checks ask it."""

from __future__ import annotations

from collections.abc import Sequence

import numpy.typing as npt

from qfw.model.device import DeviceProfile
from qfw.model.errors import InternalError
from qfw.model.observable import PauliSum
from qfw.model.outputs import Counts, Expectation, Output, encode_outputs
from qfw.model.program import Program, slot
from qfw.model.result import Result
from qfw.model.timeline import Timeline
from qfw.qpm.platform import Platform, Run, RunDone, RunFailed
from qfw.testing.checks import Failed, NotApplicable, expect
from qfw.testing.circuits import Placed
from qfw.testing.shapes import verify
from qfw.testing.stand import Stand
from qfw.testing.subject import Subject, table

#: Seconds that a run of a check may take.
TIME_LIMIT_S = 30.0
#: Estimated seconds of a run that is still there when something is done to it.
LONG_S = 8.0


class Bench(Subject):
    """A device of a platform."""

    def __init__(self, stand: Stand, profile: DeviceProfile) -> None:
        """Of an opened platform."""
        self.stand = stand
        calibration = stand.call("calibration", stand.platform.calibration, profile.name)
        super().__init__(profile, calibration)

    @property
    def platform(self) -> Platform:
        """The platform."""
        return self.stand.platform

    @property
    def lowers(self) -> bool:  # type: ignore[override]
        """Whether it lowers gates that are not native."""
        return not self.profile.lowered_only

    @property
    def name(self) -> str:
        """The device's."""
        return self.profile.name

    def run_of(
        self,
        program: Program,
        outputs: Sequence[Output],
        *,
        parameters: npt.ArrayLike | None = None,
        shots: int = 0,
        seed: int = 1,
        time_limit_s: float = TIME_LIMIT_S,
        calibration: str = "",
        epoch: int = 1,
    ) -> Run:
        """A run with a number of its own."""
        values = table(parameters, program.num_slots)
        digest = self.stand.programs.add(program)
        return Run(
            self.stand.number(),
            epoch,
            digest,
            encode_outputs(tuple(outputs)),
            len(values),
            values.astype("<f8").tobytes(),
            shots,
            seed,
            time_limit_s,
            calibration,
        )

    def small(
        self, *, shots: int = 100, seed: int = 1, angle: float = 1.0
    ) -> tuple[Program, tuple[Output, ...], int]:
        """A program of one qubit, what to ask of it, and with how many shots."""
        placed = self.circuits.place(self.circuits.turn(0, angle), 1, measured=[(0, 0)])
        if Counts.__struct_config__.tag in self.profile.outputs:
            return placed.placed, (Counts(),), self.shots(shots)
        if Expectation.__struct_config__.tag in self.profile.outputs:
            return (
                placed.placed,
                (Expectation((PauliSum.of("Z0"),)),),
                0 if self.profile.exact else self.shots(shots),
            )
        return placed.placed, (), 0

    def small_run(self, **asked: object) -> Run:
        """A run of `small`."""
        program, outputs, shots = self.small()
        return self.run_of(program, outputs, shots=shots, **asked)  # type: ignore[arg-type]

    def long_run(self, time_limit_s: float = TIME_LIMIT_S) -> Run:
        """A run that takes LONG_S by the platform's estimate, or as long as the device allows."""
        width = (
            min(16, self.profile.max_qubits)
            if self.profile.coupling is None and not self.profile.lowered_only
            else 2
        )
        where = self.circuits.qubits(width)
        ops = [op for _ in range(24) for op in self.circuits.turn(0, slot(0))]
        placed = self.circuits.place(ops, len(where), slots=1, measured=[(0, 0)])
        exact = self.profile.exact and Expectation.__struct_config__.tag in self.profile.outputs
        outputs: tuple[Output, ...] = (Expectation((PauliSum.of("Z0"),)),) if exact else (Counts(),)
        self.answers(Expectation if exact else Counts)
        sets, shots = 1, 0 if exact else min(1000, self.profile.max_shots)
        for _ in range(40):
            cost_s = self.stand.call(
                "estimate", self.platform.estimate, self.name, placed.placed, outputs, sets, shots
            ).cost_s
            if cost_s >= LONG_S:
                break
            if not exact and 2 * shots <= self.profile.max_shots:
                shots *= 2
            elif 2 * sets <= min(self.profile.max_sets, 2**20):
                sets *= 2
            else:
                raise NotApplicable(f"its longest task takes {cost_s:.3g} s by its estimate")
        return self.run_of(
            placed.placed, outputs, parameters=[[0.01]] * sets, shots=shots, time_limit_s=time_limit_s
        )

    def go(self, run: Run, at: str | None = None) -> RunDone | RunFailed:
        """Runs it on a ready slot; what became of it."""
        slots = self.stand.ready(self.name)
        where = at or slots[0]
        self.stand.start(self.name, where, [run])
        return self.stand.outcome(run, where)

    def ended(self, run: Run, slot: str, limit_s: float, what: str) -> None:
        """Waits until a run has an outcome, or its slot is gone."""
        sink = self.stand.sink
        self.stand.wait(
            lambda: (
                (run.task, run.epoch) in sink.outcomes or any(name == slot for _, name, _, _ in sink.lost)
            ),
            limit_s,
            what,
        )

    def done(self, run: Run, at: str | None = None) -> RunDone:
        """Like `go`, of a run that must be answered. Raises the typed error that it failed with."""
        outcome = self.go(run, at)
        if isinstance(outcome, RunFailed):
            error = outcome.error.to_exception()
            if isinstance(error, InternalError):
                raise Failed("an answer, or a typed error", f"{outcome.error.code}: {outcome.error.message}")
            raise error
        return outcome

    def ask(
        self,
        placed: Placed,
        outputs: Sequence[Output],
        *,
        parameters: npt.ArrayLike | None = None,
        shots: int = 0,
        seed: int = 1,
    ) -> Result:
        """See Subject."""
        program = placed.placed
        run = self.run_of(program, outputs, parameters=parameters, shots=shots, seed=seed)
        done = self.done(run)
        result = Result(run.task, self.name, done.answers, run.sets, Timeline(), done.conditions)
        verify(result.answers, program, outputs, run.sets, shots)
        return result

    def still_works(self) -> None:
        """Fails the check unless a small task is answered."""
        outcome = self.go(self.small_run())
        expect(isinstance(outcome, RunDone), "the next task is answered", outcome)

    def facet(self, name: str) -> None:
        """Raises NotApplicable unless the platform has this facet."""
        if name not in self.platform.facets:
            raise NotApplicable(f"the platform does not have the facet {name}, and does not claim to")
