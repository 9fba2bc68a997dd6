"""The device that runs the circuits, how many it ran, and one line for every epoch."""

import time
from contextlib import contextmanager

import pennylane as qml

from outcome import DeviceRefused


class Enough(Exception):
    """Ends SciPy's optimiser."""


@contextmanager
def trying(name):
    """The first use of a device: what it says of its options is said as the user's mistake."""
    try:
        yield
    except (qml.exceptions.DeviceError, ValueError) as error:
        raise DeviceRefused(f"device {name}: {error}") from error


def open_device(args, wires):
    """The PennyLane device that the command line names."""
    options = {"engine": args.engine} if args.engine else {}
    return qml.device(args.device, wires=wires, seed=args.seed, **options)


class CircuitCounter:
    """Counts the circuits that PennyLane sends to a device, whatever device it is."""

    def __init__(self, device):
        self.circuits = self.calls = 0
        execute = device.execute

        def counted(circuits, *args, **kwargs):
            self.calls += 1
            # A circuit with many sets of weights is as many circuits.
            self.circuits += sum(circuit.batch_size or 1 for circuit in circuits)
            return execute(circuits, *args, **kwargs)

        device.execute = counted


class Progress:
    """One line per epoch; says when to stop."""

    def __init__(self, counter, tolerance):
        self.counter, self.tolerance = counter, tolerance
        self.epoch, self.circuits, self.calls, self.began = (
            0,
            counter.circuits,
            counter.calls,
            time.perf_counter(),
        )

    def report(self, cost):
        """Prints the epoch that gave `cost`; true where it is good enough."""
        self.epoch += 1
        circuits, calls, now = self.counter.circuits, self.counter.calls, time.perf_counter()
        print(
            f"epoch {self.epoch:3d}  cost {cost:8.5f}  circuits {circuits - self.circuits:4d}"
            f"  device calls {calls - self.calls:4d}  {now - self.began:7.3f} s",
            flush=True,
        )
        self.circuits, self.calls, self.began = circuits, calls, now
        return cost <= self.tolerance
