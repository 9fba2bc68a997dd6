"""PoolPlatform refuses what was given up, and does nothing twice: a real worker, and a sink that listens."""

from __future__ import annotations

import time

import numpy as np

from qfw.config.settings import Settings, WorkerSettings
from qfw.model.outputs import Probabilities, encode_outputs
from qfw.model.program import Gate, Program
from qfw.qpm.platform import PlatformConfig, Run, RunDone, RunFailed
from qfw.qpm.reactor import EpollReactor
from qfw.simenv.pool import PoolPlatform
from tests.qpm.acme import Recorder
from tests.stack import LIMIT_S

FLIP = Program(1, 0, 0, (Gate("x", (0,)),))


class _Listener(Recorder):
    def encoded(self, digest: bytes) -> bytes:
        return FLIP.encoded


def run(task: int, epoch: int) -> Run:
    outputs = encode_outputs((Probabilities(),))
    return Run(task, epoch, FLIP.digest, outputs, 1, np.zeros((1, 0)).tobytes(), 0, 1, 60.0)


def test_a_start_is_done_once_and_not_after_a_later_one() -> None:
    settings = Settings(engines=("reference",), workers=WorkerSettings(count=1))
    platform, reactor, sink = (
        PoolPlatform(PlatformConfig("simulators", {}, settings)),
        EpollReactor(),
        _Listener(),
    )
    end = time.monotonic() + LIMIT_S
    try:
        platform.open(reactor, sink, sink)
        platform.warm("reference")
        while not sink.ready:
            assert time.monotonic() < end
            reactor.turn(0.05)
        platform.start("reference", sink.ready[0], [run(1, 2), run(1, 2)])
        platform.start("reference", sink.ready[0], [run(1, 2), run(1, 1)])
        platform.start("reference", sink.ready[0], [run(1, 2), run(2, 1)])
        while not any(outcome.task == 2 for _, outcome in sink.ended):
            assert time.monotonic() < end
            reactor.turn(0.05)
        done = [(o.task, o.epoch) for _, o in sink.ended if isinstance(o, RunDone)]
        failed = [(o.task, o.epoch, o.error.code) for _, o in sink.ended if isinstance(o, RunFailed)]
        assert done == [(1, 2), (2, 1)]
        assert failed == [(1, 1, "StaleEpoch")]
    finally:
        platform.close()
        reactor.close()
