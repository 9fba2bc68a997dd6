"""Contained failures: what a platform that misbehaves costs the tasks of another device.

One client sends small tasks to a simulator, one after the other, in short windows. In ours a hostile platform
misbehaves in its host meanwhile; in the peer's the same plugin burns as a bare process (`benchmarks.burner`), as
nice, with as many processes and as many starts. What is more in ours, QFw has let through.
"""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator, Sequence
from concurrent.futures import CancelledError
from contextlib import contextmanager
from pathlib import Path
from typing import NamedTuple

import numpy as np

from benchmarks.measure import Disagreement, Effort, Floats, Outcome, interval, judged, medians
from benchmarks.programs import PARITY, THREE_QUBITS, fresh_parameters
from benchmarks.stack import three_processes
from qfw.config.discover import runtime_dir
from qfw.model.device import DeviceState
from qfw.model.errors import QFwError
from qfw.model.task import TaskOptions
from qfw.processes.backoff import retry_s
from qfw.qpi import Device, QStream, Session
from qfw.qpm.remote import Observer

#: Seconds of a window: long enough for a host to be ended and another one to be up.
WINDOW_S = 0.6
#: Windows of each side at full effort; at least so many.
WINDOWS, FEWEST = 6, 4
#: Seconds within which a host is up again, and between looks whether it is.
LIMIT_S, LOOK_S = 60.0, 0.02
#: Processes of a litter besides their parent.
CHILDREN = 4
#: 99th percentile of the other device: at most so many times the control's.
GOAL = 1.25


class Misbehaviour(NamedTuple):
    """A way to misbehave."""

    #: As the hostile platform's option `do` says it.
    do: str
    #: Whether it goes on for the whole window; else the host is ended at once, and another one started.
    lasts: bool
    about: str


KINDS = {
    "hang": Misbehaviour("hang", True, "a call that spins and ignores signals"),
    "flood": Misbehaviour("events", False, "more events than are allowed; it is ended, and started again"),
    "children": Misbehaviour("litter", True, f"{CHILDREN} processes that spin beside it, within its limits"),
    "garbage": Misbehaviour("garbage", False, "bytes that are no answer; it is ended, and started again"),
}


def contained(effort: Effort) -> list[Outcome]:
    """Each way to misbehave, with a daemon of its own."""
    windows = max(FEWEST, round(WINDOWS * effort.share))
    return [_measure(name, kind, windows) for name, kind in KINDS.items()]


def _measure(name: str, kind: Misbehaviour, windows: int) -> Outcome:
    rows = fresh_parameters(4096, 3)
    taken: Floats = np.empty((2, windows))
    with _session(runtime_dir() / name, kind, windows) as (session, hosted):
        stream = session.device("qulacs").stream()
        _latencies(stream, rows, WINDOW_S)
        for index, device in enumerate(hosted):
            for side in (0, 1) if index % 2 == 0 else (1, 0):
                burning = _in_a_host(kind, device, rows) if side == 0 else bare(kind)
                with burning:
                    latencies = _latencies(stream, rows, WINDOW_S)
                taken[side, index] = np.quantile(latencies, 0.99)
        pids = three_processes(stream.run(THREE_QUBITS, rows[0], outputs=PARITY).result(LIMIT_S))
    return judge(name, kind, taken, pids)


def judge(name: str, kind: Misbehaviour, taken: Floats, pids: dict[str, int]) -> Outcome:
    """The figure of 99th percentiles in microseconds, shape (ours and the control, windows)."""
    ours, peer = (float(value) for value in np.median(taken, axis=1))
    drawn = medians(taken)
    # The control's own windows against each other, every other one.
    itself = float(np.median(taken[1, ::2]) / np.median(taken[1, 1::2]))
    return judged(
        Outcome(
            name=f"contained_{name}",
            ours=ours,
            peer=peer,
            ratio=ours / peer,
            goal=GOAL,
            ok=True,
            control=itself,
            value=ours / peer,
            interval=interval(drawn[:, 0] / drawn[:, 1]),
            pairs=taken.shape[1],
            note=f"99th percentile of three-qubit tasks on qulacs while a platform misbehaves in its host "
            f"({kind.about}); peer: while the same plugin does so in a bare process, as nice",
            pieces={
                "p99_us": taken[0].round(1).tolist(),
                "p99_us_control": taken[1].round(1).tolist(),
                "pids": pids,
            },
        )
    )


@contextmanager
def _session(folder: Path, kind: Misbehaviour, windows: int) -> Iterator[tuple[Session, list[Device]]]:
    """A daemon with a hostile platform for each window: one that misbehaves often is broken for good."""
    folder.mkdir(parents=True, mode=0o700)
    names = [f"{kind.do}-{index}" for index in range(windows)]
    tables = [
        f'[platforms.{name}]\nplugin = "hostile"\ngrace_s = 0.1\n'
        f'options = {{ do = "{kind.do}", device = "{name}", gates = ["h", "ry", "cz"], children = {CHILDREN} }}\n'
        for name in names
    ]
    config = folder / "qfw.toml"
    config.write_text('engines = ["qulacs"]\n[workers]\ncount = 1\n' + "".join(tables), encoding="utf-8")
    with Session(runtime_folder=folder, config=config):
        _until_listed(folder, names)
        # One that joins now knows them all. To ask for a device that it does not know would start every installed
        # platform, among them the tests' one that never comes up, and wait for it.
        with Session(runtime_folder=folder) as session:
            yield session, [session.device(name) for name in names]


def _until_listed(folder: Path, names: Sequence[str]) -> None:
    """The daemon's hosts are up, and it knows their devices."""
    end_s = time.monotonic() + LIMIT_S
    with Observer(folder) as observer:
        while missing := set(names) - {status.profile.name for status in observer.devices()}:
            if time.monotonic() > end_s:
                raise Disagreement(f"devices {sorted(missing)} did not come up within {LIMIT_S:g} s")
            time.sleep(LOOK_S)


@contextmanager
def _in_a_host(kind: Misbehaviour, device: Device, rows: Floats) -> Iterator[None]:
    """The device's platform misbehaves in its host; afterwards it is up again."""
    _until_online(device)
    options = TaskOptions(time_limit_s=WINDOW_S)
    provoked = device.stream().run(THREE_QUBITS, rows[0], outputs=PARITY, options=options)
    yield
    if not kind.lasts:
        # A task whose host was lost is given to the next one, which misbehaves as well: no more of that.
        provoked.cancel()
    try:
        provoked.result(LIMIT_S)
    except (QFwError, CancelledError):
        _until_online(device)
    else:
        raise Disagreement(f"device {device.name} answered: it did not misbehave")


def _until_online(device: Device) -> None:
    end_s = time.monotonic() + LIMIT_S
    while (found := device.status()).state is not DeviceState.ONLINE:
        if time.monotonic() > end_s:
            raise Disagreement(f"device {device.name} did not come up: {found.state} {found.reason}")
        time.sleep(LOOK_S)


@contextmanager
def bare(kind: Misbehaviour) -> Iterator[subprocess.Popen[bytes]]:
    """The same outside QFw: what goes on is ended afterwards, what does not is started again as a host is.

    Gives the first process, whose id is that of their group. Each life writes a line once it is up; one was read.

    Raises:
        Disagreement: it does not come up, or is over before its time.
    """
    burner = [sys.executable, "-m", "benchmarks.burner", kind.do, str(CHILDREN)]
    again = ["sh", "-c", f'"$@"; sleep {retry_s(1)}; "$@"; sleep {LIMIT_S}', "again"]
    process = subprocess.Popen(
        burner if kind.lasts else again + burner,
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        start_new_session=True,
    )
    assert process.stdin is not None and process.stdout is not None
    try:
        if process.stdout.readline() != b"up\n":
            raise Disagreement(f"the bare process that should {kind.do} did not come up")
        # One for each life.
        process.stdin.write(b"\n\n")
        process.stdin.flush()
        yield process
        if process.poll() is not None:
            raise Disagreement(f"the bare process that should {kind.do} is over: {process.returncode}")
    finally:
        os.killpg(process.pid, signal.SIGKILL)
        process.wait()
        process.stdin.close()
        process.stdout.close()


def _latencies(stream: QStream, rows: Floats, seconds: float) -> Sequence[float]:
    """Microseconds of tasks, one after the other."""
    taken = []
    end_ns = time.perf_counter_ns() + int(seconds * 1e9)
    while (began_ns := time.perf_counter_ns()) < end_ns:
        index = len(taken) & 4095
        stream.run(THREE_QUBITS, rows[index], outputs=PARITY, seed=index).result(LIMIT_S)
        taken.append((time.perf_counter_ns() - began_ns) / 1e3)
    return taken
