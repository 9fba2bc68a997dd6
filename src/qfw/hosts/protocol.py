"""What the daemon and a platform's host say to each other, in the frames of `qfw.qpm.wire`.

The first message of each side is a map, so that different versions can tell each other apart; all others
are arrays headed by their tag.
"""

from __future__ import annotations

from typing import Union

import msgspec

from qfw.config.settings import Settings
from qfw.model.calibration import Calibration
from qfw.model.decoding import decoder
from qfw.model.device import DeviceProfile, DeviceState
from qfw.model.errors import ErrorReport
from qfw.model.events import DeviceEvent
from qfw.model.reservation import Offer, ReservationRequest
from qfw.qpm.platform import (
    DeviceLoad,
    NativeCall,
    NativeDone,
    NativeFailed,
    PlatformConfig,
    Run,
    RunDone,
    RunFailed,
)

#: Changes whenever an older peer could misread a message.
HOST_VERSION = 1
#: Largest message of a host, besides answers: the calibration of a large device.
MESSAGE_BYTES = 8 * 2**20
#: Largest frame that a host reads.
MAX_FRAME_BYTES = 2**30 + 2**16


class Greeting(msgspec.Struct, frozen=True, tag="host"):
    """First message of both sides."""

    host: int
    api: tuple[int, int]
    version: str


class _Message(msgspec.Struct, frozen=True, array_like=True):
    pass


class Open(_Message, frozen=True, tag=1):
    """Load this plugin and begin to serve."""

    plugin: str
    name: str
    options: msgspec.Raw
    settings: Settings

    def config(self) -> PlatformConfig:
        """What the plugin's constructor is told."""
        return PlatformConfig(self.name, msgspec.msgpack.decode(self.options), self.settings)


class Load(_Message, frozen=True, tag=2):
    """A program, before the first run that names its digest."""

    digest: bytes
    encoded: bytes


class Start(_Message, frozen=True, tag=3):
    """Runs, in order, behind those that the slot has."""

    device: str
    slot: str
    runs: list[Run]


class CancelRun(_Message, frozen=True, tag=4):
    """Nobody wants this run's answer any more."""

    device: str
    slot: str
    task: int
    epoch: int


class Warm(_Message, frozen=True, tag=5):
    """A task for the device was accepted."""

    device: str


class CallHost(_Message, frozen=True, tag=6):
    """A native operation."""

    device: str
    call: NativeCall


class Reservation(_Message, frozen=True, tag=7):
    """A call about a reservation: evaluate, reserve, renew or release, answered by an Answered."""

    number: int
    device: str
    verb: str
    request: ReservationRequest


class Ping(_Message, frozen=True, tag=8):
    """Is somebody there?"""

    number: int


class Close(_Message, frozen=True, tag=9):
    """End."""


class Settled(_Message, frozen=True, tag=1):
    """The platform serves: what it is and has."""

    api: tuple[int, int]
    facets: frozenset[str]
    devices: tuple[DeviceProfile, ...]
    states: tuple[DeviceState, ...]
    calibrations: tuple[Calibration | None, ...]


class Broken(_Message, frozen=True, tag=2):
    """The platform does not serve and will not: the host's last message."""

    error: ErrorReport


class Pong(_Message, frozen=True, tag=3):
    """Answer to a Ping, with what each device has to do besides."""

    number: int
    loads: tuple[DeviceLoad, ...]


class Reported(_Message, frozen=True, tag=4):
    """A device's event."""

    device: str
    event: DeviceEvent
    calibration: Calibration | None


class SlotReady(_Message, frozen=True, tag=5):
    """A slot takes runs."""

    device: str
    slot: str


class SlotLost(_Message, frozen=True, tag=6):
    """A slot is gone."""

    device: str
    slot: str
    reason: str
    running: int | None


class Offline(_Message, frozen=True, tag=7):
    """A device takes no tasks any more."""

    device: str
    reason: str


class Ended(_Message, frozen=True, tag=8):
    """Runs that ended; one whose answers come as a descriptor is alone in its message, without them."""

    device: str
    slot: str
    outcomes: list[RunDone | RunFailed]


class NativeEnded(_Message, frozen=True, tag=9):
    """A native operation ended."""

    device: str
    outcome: NativeDone | NativeFailed


class Answered(_Message, frozen=True, tag=10):
    """Answer to a Reservation."""

    number: int
    offer: Offer | None
    error: ErrorReport | None


ToHost = Union[Open, Load, Start, CancelRun, Warm, CallHost, Reservation, Ping, Close]  # noqa: UP007 - for msgspec
FromHost = Union[  # noqa: UP007 - for msgspec
    Settled, Broken, Pong, Reported, SlotReady, SlotLost, Offline, Ended, NativeEnded, Answered
]

decode_greeting = decoder(Greeting)
decode_to_host = decoder(ToHost)
decode_from_host = decoder(FromHost)
