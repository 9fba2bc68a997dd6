"""Joint: two twins with a link as one device, for programs over both.

Its qubits are those of the one and then those of the other. Gates act within a twin. Between twins there is nothing
but entangled pairs: Reset of both qubits, h on the first and cx over the link make one, with the link's fidelity, in
the mean time that its tries take. All else between them is made of pairs, measurements and branches.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import cached_property

import msgspec

from qfw.model.calibration import Calibration, GateCalibration
from qfw.model.conditions import Conditions
from qfw.model.device import DevicePart, DeviceProfile, DeviceState, Estimate, Timing
from qfw.model.errors import StaleCalibration
from qfw.model.outputs import Output
from qfw.model.program import Program
from qfw.model.timing import device_ns, surrounding_ns
from qfw.platforms.twin.device import Simulation, Twin, check_estimate
from qfw.platforms.twin.link import Link
from qfw.platforms.twin.pairs import ACROSS, TURN, Pairs
from qfw.platforms.twin.simulation import Simulated
from qfw.qpm.driver import Answered, Execution
from qfw.qpm.platform import DeviceLoad

#: Qubits of a twin that take part in pairs at most, the first ones.
PORTS = 32


@dataclass(frozen=True)
class Joint:
    """Two twins and their link, behind what the driver asks of a twin."""

    first: Twin
    second: Twin
    link: Link
    simulations: Callable[[DeviceProfile, bool], Simulation]
    noisy: bool

    @property
    def name(self) -> str:
        """Of the device."""
        return f"{self.first.profile.name}+{self.second.profile.name}"

    @cached_property
    def profile(self) -> DeviceProfile:
        """What it can do."""
        one, two = self.first.profile, self.second.profile
        offset = one.max_qubits
        pairs = (*_pairs(one, 0), *_pairs(two, offset))
        native = tuple(dict.fromkeys((*one.native_gates, *two.native_gates, TURN, ACROSS)))
        return DeviceProfile(
            name=self.name,
            kind=one.kind,
            engine=f"{one.engine}+{two.engine}",
            max_qubits=offset + two.max_qubits,
            native_gates=native,
            outputs=("counts", "memory"),
            slots=1,
            preference=min(one.preference, two.preference),
            control=True,
            lowered_only=True,
            coupling=(*pairs, *self._ports),
            timing=self._timing,
            max_shots=min(one.max_shots, two.max_shots),
            max_sets=min(one.max_sets, two.max_sets),
            exact=False,
            reruns=False,
            parts=(DevicePart(one.name, one.max_qubits), DevicePart(two.name, two.max_qubits)),
        )

    @cached_property
    def _ports(self) -> tuple[tuple[int, int], ...]:
        one, two = self.first.profile.max_qubits, self.second.profile.max_qubits
        ours, theirs = range(min(one, PORTS)), range(one, one + min(two, PORTS))
        across = [(a, b) for a in ours for b in theirs]
        return (*across, *((b, a) for a, b in across))

    @cached_property
    def _timing(self) -> Timing:
        """What takes part waits for the slower controller."""
        times = [self.first.timing, self.second.timing]
        return Timing(*(max(getattr(time, name) for time in times) for name in Timing.__struct_fields__))

    @cached_property
    def _simulation(self) -> Simulation:
        return self.simulations(self.profile, self.noisy)

    @property
    def calibration(self) -> Calibration:
        """Of both, under a version that says both."""
        return self.merged(self.first.calibration, self.second.calibration)

    @cached_property
    def _kept(self) -> dict[tuple[int, int], tuple[Calibration, Calibration, Calibration]]:
        return {}

    @cached_property
    def _lock(self) -> threading.Lock:
        return threading.Lock()

    def merged(self, one: Calibration, two: Calibration) -> Calibration:
        """The calibration of the whole; the same object for the same two, as long as both are the last."""
        with self._lock:
            found = self._kept.get((id(one), id(two)))
            if found is None:
                if len(self._kept) >= 4:
                    self._kept.clear()
                # Both are kept with it, so that their ids are nobody else's.
                found = self._kept[id(one), id(two)] = (one, two, self._merge(one, two))
            return found[2]

    def _merge(self, one: Calibration, two: Calibration) -> Calibration:
        offset = len(one.qubits)
        gates = [
            *one.gates,
            *(
                msgspec.structs.replace(gate, qubits=tuple(qubit + offset for qubit in gate.qubits))
                for gate in two.gates
            ),
        ]
        qubits = (*one.qubits, *two.qubits)
        known = {(gate.name, gate.qubits) for gate in gates}
        # A pair is as good as the link says when it is there, whatever its parts would cost alone.
        for qubit, calibrated in enumerate(qubits):
            if (TURN, (qubit,)) not in known:
                gates.append(GateCalibration(TURN, (qubit,), 0.0, 0, calibrated.operational))
        error = 1 - self.link.options.fidelity
        for pair in self._ports:
            works = all(qubits[qubit].operational for qubit in pair)
            gates.append(GateCalibration(ACROSS, pair, error, 0, works))
        return Calibration(
            self.name,
            f"{one.version}|{two.version}",
            min(one.measured_s, two.measured_s),
            qubits,
            tuple(gates),
        )

    # What the driver asks ------------------------------------------------------------------------------

    @property
    def state(self) -> DeviceState:
        """The first of its twins that does not run says; else online."""
        states = [twin.state for twin in (self.first, self.second)]
        return next((state for state in states if state is not DeviceState.ONLINE), DeviceState.ONLINE)

    def load(self) -> DeviceLoad:
        """What others have its twins do: that of the busier one."""
        loads = [twin.load() for twin in (self.first, self.second)]
        return max(loads, key=lambda load: (load.queued_s or 0.0, load.queued or 0))

    def estimate(self, program: Program, outputs: Sequence[Output], sets: int, shots: int) -> Estimate:
        """See `Twin.estimate`. Raises UnsupportedFeature where a gate goes over the link otherwise than in a pair."""
        on_device_s, computing = check_estimate(
            self.profile,
            self.calibration,
            self._simulation,
            self.first.options,
            self.with_waits(program),
            outputs,
            sets,
            shots,
        )
        factors = [getattr(twin.living.clock, "factor", None) for twin in (self.first, self.second)]
        waits_s = [on_device_s / factor for factor in factors if factor is not None]
        return Estimate(max([computing.cost_s, *waits_s]), computing.memory_bytes)

    def run(self, execution: Execution) -> Answered:
        """See Driver. Both twins are busy meanwhile."""
        program, sets = self.with_waits(execution.program), len(execution.seeds)
        version = execution.calibration
        one_version, _, two_version = version.partition("|")
        if version and not two_version:
            raise StaleCalibration(
                f"{version!r} is no version of {self.name}, whose versions name two. Lower the program again"
            )
        notes: list[str] = []
        versions: list[str] = []

        def needed_ns(_: Calibration) -> int:
            calibration = self.calibration
            return device_ns(program, sets, execution.shots, calibration, self._timing, execution.outputs)

        def taken_ns(done: Simulated) -> int:
            return surrounding_ns(sets, execution.shots, self._timing) + done.circuits_ns

        def on_both(one: Calibration, two: Calibration) -> Simulated:
            return self._simulation.simulate(
                self.merged(one, two),
                program,
                execution.outputs,
                execution.parameters,
                execution.shots,
                execution.seeds,
                execution.cancelled,
            )

        # Always taken in the order of their names, so that two tasks cannot wait for each other.
        def on_second(one: Calibration) -> Simulated:
            done = self.second.controller.perform(
                needed_ns,
                lambda two: on_both(one, two),
                calibration=two_version,
                cancelled=execution.cancelled,
                time_limit_s=execution.time_limit_s,
                taken_ns=taken_ns,
            )
            notes.extend(f"{self.second.profile.name}: {note}" for note in done.notes)
            versions.append(done.calibration)
            return done.result

        done = self.first.controller.perform(
            needed_ns,
            on_second,
            calibration=one_version,
            cancelled=execution.cancelled,
            time_limit_s=execution.time_limit_s,
            taken_ns=taken_ns,
        )
        notes.extend(f"{self.first.profile.name}: {note}" for note in done.notes)
        said = (*done.result.notes, *dict.fromkeys(notes))
        ran = f"{done.calibration}|{versions[-1]}"
        return Answered(done.result.answers, Conditions(ran, done.device_ns, said))

    def with_waits(self, program: Program) -> Program:
        """The program with the time that the link's tries take in front of every pair.

        Raises:
            UnsupportedFeature: a gate between the twins that makes no pair, or h where no twin has it.
        """
        wait_ns = round(self.link.options.attempt_ns / self.link.options.success)
        walk = Pairs(self.first.profile, self.second.profile, wait_ns)
        operations = walk.block(program.operations)
        return Program(program.num_qubits, program.num_clbits, program.num_slots, tuple(operations))


def _pairs(profile: DeviceProfile, offset: int) -> list[tuple[int, int]]:
    if profile.coupling is not None:
        return [(a + offset, b + offset) for a, b in profile.coupling]
    return [
        (a + offset, b + offset)
        for a in range(profile.max_qubits)
        for b in range(profile.max_qubits)
        if a != b
    ]
