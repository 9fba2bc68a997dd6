"""TwinDriver: twins behind the driver contract."""

from __future__ import annotations

import time
import zlib
from collections.abc import Callable, Iterator, Sequence
from typing import TypeVar

import msgspec

from qfw.model.calibration import Calibration
from qfw.model.device import DeviceProfile, DeviceState, Estimate
from qfw.model.errors import ConfigError, OptionError, UnknownDevice, UnsupportedFeature
from qfw.model.outputs import Output
from qfw.model.program import Program
from qfw.model.pulse import PlayRequest
from qfw.platforms.twin.calibrating import CalibrateRequest, calibrate
from qfw.platforms.twin.controller import Controller
from qfw.platforms.twin.device import Simulation, Twin
from qfw.platforms.twin.gate_pulses import with_pulses
from qfw.platforms.twin.joint import Joint
from qfw.platforms.twin.joint_reporting import JointReporter
from qfw.platforms.twin.life import Life
from qfw.platforms.twin.link import EntangleAnswer, EntangleRequest, Link, LinkPeer, Tries
from qfw.platforms.twin.living import Living
from qfw.platforms.twin.options import DeviceOptions, TwinOptions, make_clock, origin_ns, read_options
from qfw.platforms.twin.script import check_qubits, load_script
from qfw.qpm.base_driver import BaseDriver
from qfw.qpm.driver import Answered, Execution, Reporter
from qfw.qpm.platform import DeviceLoad, PlatformConfig

T = TypeVar("T", bound=msgspec.Struct)

Models = Callable[[str, str], tuple[DeviceProfile, Calibration]]
Simulations = Callable[[DeviceProfile, bool], Simulation]

LIMITS, CHECK, PLAY = "pulse.limits", "pulse.check", "pulse.play"
CALIBRATE, ENTANGLE, PEERS = "calibrate", "link.entangle", "link.peers"


class Nothing(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Body of an operation that is told nothing: an empty map."""


_NIL, _EMPTY = b"\xc0", b"\x80"
_ENCODER = msgspec.msgpack.Encoder()


class TwinDriver(BaseDriver):
    """Drives twins: docs/guides/twin.md lists its options."""

    def __init__(self, config: PlatformConfig, models: Models, simulations: Simulations) -> None:
        """Makes the devices; their clocks start now.

        Args:
            config: its options are those of `TwinOptions`.
            models: gives profile and calibration of a model, by its name or file, under the name that the user gave.
            simulations: gives what answers for a device, with or without noise.

        Raises:
            ConfigError: an option, a script or the file of a model is wrong.
            CalibrationError: a model with a value that cannot be.
        """
        super().__init__(config)
        self._models, self._simulations = models, simulations
        options = self._options = read_options(config.options, config.name)
        self._where = f"platforms.{config.name}.options"
        self._twins: dict[str, Twin] = {}
        self._noisy: dict[str, bool] = {}
        for index, entry in enumerate(options.devices):
            device = DeviceOptions(model=entry) if isinstance(entry, str) else entry
            twin = self._make(device, f"{self._where}.devices[{index}]")
            if twin.profile.name in self._twins:
                raise ConfigError(
                    f"{self._where}.devices[{index}]: there is a device {twin.profile.name} already; "
                    "give this one a `name` of its own"
                )
            self._twins[twin.profile.name] = twin
        self._links = self._make_links(options)
        self._joints = {joint.name: joint for joint in self._make_joints()}
        self._devices: dict[str, Twin | Joint] = {**self._twins, **self._joints}

    def devices(self) -> Sequence[DeviceProfile]:
        """See Driver."""
        linked = {name for pair in self._links for name in pair}
        found = []
        for name, twin in self._twins.items():
            native = (LIMITS, CHECK, PLAY, CALIBRATE) + ((PEERS, ENTANGLE) if name in linked else ())
            found.append(msgspec.structs.replace(twin.profile, native=native))
        return found + [joint.profile for joint in self._joints.values()]

    def open(self, reporter: Reporter) -> None:
        """See Driver."""
        super().open(reporter)
        told = JointReporter(reporter, self._joints.values())
        for twin in self._twins.values():
            twin.living.open(told)

    def state(self, device: str) -> DeviceState:
        """See Driver."""
        return self._devices[device].state

    def calibration(self, device: str) -> Calibration:
        """See Driver."""
        return self._devices[device].calibration

    def estimate(
        self, device: str, program: Program, outputs: Sequence[Output], sets: int, shots: int
    ) -> Estimate:
        """See Driver and `Twin.estimate`."""
        return self._devices[device].estimate(program, outputs, sets, shots)

    def load(self, device: str) -> DeviceLoad:
        """See Driver."""
        return self._devices[device].load()

    def run(self, execution: Execution) -> Answered:
        """See Driver."""
        return self._devices[execution.device].run(execution)

    def native(self, device: str, operation: str, body: bytes, time_limit_s: float) -> bytes:
        """See Driver; the bodies are the structs of `qfw.model.pulse`, `calibrating` and `link`.

        Raises:
            OptionError: a body that is not of the operation's form.
        """
        if device in self._joints:
            raise UnsupportedFeature(f"device {device} has no native operation {operation!r}")
        twin = self._twins[device]
        answer: msgspec.Struct | list[LinkPeer]
        match operation:
            case _ if operation == LIMITS:
                _decoded(body, Nothing, operation)
                answer = twin.pulse_limits
            case _ if operation == CHECK:
                answer = twin.check_pulses(_decoded(body, PlayRequest, operation))
            case _ if operation == PLAY:
                answer = twin.play(_decoded(body, PlayRequest, operation), time_limit_s)
            case _ if operation == CALIBRATE:
                answer = calibrate(twin, _decoded(body, CalibrateRequest, operation), time_limit_s)
            case _ if operation == PEERS:
                _decoded(body, Nothing, operation)
                answer = self._peers(device)
            case _ if operation == ENTANGLE:
                answer = self._entangle(device, _decoded(body, EntangleRequest, operation), time_limit_s)
            case _:
                raise UnsupportedFeature(f"device {device} has no native operation {operation!r}")
        return _ENCODER.encode(answer)

    def close(self) -> None:
        """See Driver."""
        for twin in self._twins.values():
            twin.living.close()

    def _make(self, device: DeviceOptions, where: str) -> Twin:
        options = self._options
        try:
            profile, base = self._models(device.model, device.name)
        except UnknownDevice as error:
            raise ConfigError(f"{where}: {error}") from error
        base = with_pulses(base)
        clock = make_clock(options, device)
        seed = options.seed if device.seed is None else device.seed
        own_seed = seed ^ zlib.crc32(profile.name.encode()) if device.seed is None else seed
        life_where = f"{where}.life" if device.life is not None else f"{self._where}.life"
        script = load_script(options.life if device.life is None else device.life, life_where)
        check_qubits(script, profile.max_qubits, life_where)
        origin = origin_ns(options, clock, base.measured_s, time.time_ns())
        living = Living(profile.name, Life(script, own_seed, base, origin), clock, origin)
        noisy = options.noise if device.noise is None else device.noise
        self._noisy[profile.name] = noisy
        return Twin(profile, living, Controller(living), self._simulations(profile, noisy), options)

    def _make_links(self, options: TwinOptions) -> dict[tuple[str, str], Link]:
        links: dict[tuple[str, str], Link] = {}
        for index, entry in enumerate(options.links):
            for name in entry.devices:
                if name not in self._twins:
                    raise ConfigError(
                        f"{self._where}.links[{index}].devices names {name}; this platform has "
                        f"{', '.join(self._twins)}"
                    )
            first, second = sorted(entry.devices)
            if (first, second) in links:
                raise ConfigError(f"{self._where}.links[{index}]: {first} and {second} have a link already")
            links[first, second] = Link(entry, options.seed ^ zlib.crc32(f"{first} {second}".encode()))
        return links

    def _make_joints(self) -> Iterator[Joint]:
        for (first, second), link in self._links.items():
            noisy = self._noisy[first] or self._noisy[second]
            yield Joint(self._twins[first], self._twins[second], link, self._simulations, noisy)

    def _peers(self, device: str) -> list[LinkPeer]:
        return [
            LinkPeer(second if device == first else first, link.options.fidelity, link.options.rate_per_s)
            for (first, second), link in self._links.items()
            if device in (first, second)
        ]

    def _entangle(self, device: str, request: EntangleRequest, time_limit_s: float) -> EntangleAnswer:
        first, second = sorted((device, request.peer))
        link = self._links.get((first, second))
        if link is None:
            peers = sorted({name for pair in self._links if device in pair for name in pair} - {device})
            raise OptionError(
                f"{device} has no link with {request.peer!r}; it has one with {', '.join(peers)}"
            )
        tries = link.tries(request, link.next_seed() if request.seed is None else request.seed)
        if tries.device_ns > self._options.max_device_s * 1e9:
            raise OptionError(
                f"{request.pairs} pairs take {tries.device_ns / 1e9:.3g} s; a call has "
                f"{self._options.max_device_s:g} s. Ask for fewer pairs"
            )
        notes: list[str] = []

        # Both devices are busy; always taken in the order of their names, so that two calls cannot wait for each other.
        def on_second(_: Calibration) -> Tries:
            done = self._twins[second].take(tries.device_ns, lambda _: tries, "", time_limit_s)
            notes.extend(f"{second}: {note}" for note in done.notes)
            return done.result

        done = self._twins[first].take(tries.device_ns, on_second, "", time_limit_s)
        notes.extend(f"{first}: {note}" for note in done.notes)
        return link.answer(done.result, tuple(notes))


def _decoded(body: bytes, kind: type[T], operation: str) -> T:
    try:
        # Nothing said is what an operation does by itself: nil, or no body at all, is an empty map.
        return msgspec.msgpack.decode(_EMPTY if body in (b"", _NIL) else body, type=kind)
    except (msgspec.DecodeError, UnicodeDecodeError) as error:
        raise OptionError(f"the body of {operation} is not a {kind.__name__}: {error}") from error
