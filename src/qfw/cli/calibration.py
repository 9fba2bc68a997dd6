"""Show the calibration of a device: a table, JSON, or a picture of its coupling graph coloured by error."""

from __future__ import annotations

import argparse
import statistics
import sys
from collections.abc import Callable, Iterable
from datetime import UTC, datetime
from pathlib import Path

from qfw.cli import output
from qfw.model.calibration import Calibration, GateCalibration
from qfw.model.device import DeviceProfile
from qfw.model.errors import DaemonUnreachable, OptionError, UnknownDevice, UnsupportedFeature

#: Seconds that platforms have to come up.
PLATFORMS_LIMIT_S = 300.0

Row = tuple[str, str, str, str, str]


def arguments(parser: argparse.ArgumentParser) -> None:
    """The options of `qfw calibration`."""
    parser.add_argument("device", nargs="?", help="a device of your running daemon")
    parser.add_argument(
        "--model", metavar="NAME_OR_FILE", help="without a daemon: a built-in model, or a JSON file of one"
    )
    form = parser.add_mutually_exclusive_group()
    form.add_argument("--json", action="store_true", help="the calibration as one line of JSON")
    form.add_argument("--plot", type=Path, metavar="FILE", help="draw the coupling graph: .png, .svg or .pdf")


def main(options: argparse.Namespace) -> int:
    """Shows it."""
    if (options.device is None) == (options.model is None):
        raise OptionError("qfw calibration takes either a DEVICE of your daemon or --model NAME_OR_FILE")
    if options.plot is not None:
        from qfw.cli import coupling_graph

        # A wrong name of a file is said before anybody is asked.
        coupling_graph.check_file(options.plot)
    profile, calibration = _of_model(options.model) if options.model else _of_device(options.device)
    if options.json:
        output.json(calibration)
    elif options.plot is not None:
        coupling_graph.draw(profile, calibration, options.plot)
        output.note(f"wrote {options.plot}")
    else:
        _print(profile, calibration)
    return 0


def _of_model(source: str) -> tuple[DeviceProfile, Calibration]:
    from qfw.platforms.twin.models import load_model

    return load_model(source)


def _of_device(name: str) -> tuple[DeviceProfile, Calibration]:
    from qfw.config.discover import runtime_dir
    from qfw.qpm import registry
    from qfw.qpm.remote import Observer

    try:
        observing = Observer(runtime_dir())
    except DaemonUnreachable as error:
        from qfw.platforms.twin.models import MODELS

        model = name if name in MODELS else "NAME"
        raise DaemonUnreachable(
            f"{error}; devices are there while one runs. Built-in models need none: qfw calibration --model {model}"
        ) from error
    with observing as observer:
        profiles = {status.profile.name: status.profile for status in observer.devices()}
        if name not in profiles:
            # Platforms that wait for somebody to ask begin now.
            observer.start_platforms(PLATFORMS_LIMIT_S)
            profiles = {status.profile.name: status.profile for status in observer.devices()}
        if name not in profiles:
            raise UnknownDevice(registry.unknown("device", name, sorted(profiles)))
        calibration = observer.calibration(name)
    if calibration is None:
        raise UnsupportedFeature(f"device {name} has no calibration: it is an ideal simulator")
    return profiles[name], calibration


def _print(profile: DeviceProfile, calibration: Calibration) -> None:
    measured = datetime.fromtimestamp(calibration.measured_s, UTC)
    works = [qubit for qubit in calibration.qubits if qubit.operational]
    out = len(calibration.qubits) - len(works)
    sys.stdout.write(
        f"{profile.name}: {profile.engine}, {profile.max_qubits} qubits{f', {out} out of order' if out else ''}\n"
        f"calibration {calibration.version}, measured {measured:%Y-%m-%d %H:%M:%S} UTC\n\n"
    )
    rows: list[Row] = []
    if works:
        rows += [
            _qubits("T1", [qubit.t1_us for qubit in works], _time, high_is_good=True),
            _qubits("T2", [qubit.t2_us for qubit in works], _time, high_is_good=True),
            _qubits("readout 1 of |0>", [qubit.read1_given0 for qubit in works]),
            _qubits("readout 0 of |1>", [qubit.read0_given1 for qubit in works]),
            _qubits("readout time", [qubit.readout_ns / 1e3 for qubit in works], _time),
        ]
    for name in sorted({gate.name for gate in calibration.gates}):
        gates = [gate for gate in calibration.gates if gate.name == name and gate.operational]
        if gates:
            rows += _gates(name, gates)
    output.table(["QUANTITY", "OF", "MEDIAN", "BEST", "WORST"], rows)


def _error(value: float) -> str:
    return f"{value:.3%}"


def _time(value_us: float) -> str:
    for unit, factor in (("s", 1e6), ("ms", 1e3), ("µs", 1.0)):
        if value_us >= factor:
            return f"{value_us / factor:.4g} {unit}"
    return f"{value_us * 1e3:.4g} ns"


def _qubits(
    name: str, values: list[float], shown: Callable[[float], str] = _error, high_is_good: bool = False
) -> Row:
    best, worst = (max(values), min(values)) if high_is_good else (min(values), max(values))
    return (
        name,
        f"{len(values)} qubits",
        shown(statistics.median(values)),
        shown(best),
        shown(worst),
    )


def _gates(name: str, gates: list[GateCalibration]) -> Iterable[Row]:
    of = f"{len(gates)} {'pairs' if len(gates[0].qubits) == 2 else 'qubits'}"
    errors = sorted(gates, key=lambda gate: gate.error)
    worst = errors[-1]
    where = f"{_error(worst.error)} on {'-'.join(map(str, worst.qubits))}" if worst.error else _error(0.0)
    yield name, of, _error(statistics.median(gate.error for gate in gates)), _error(errors[0].error), where
    times = [gate.duration_ns / 1e3 for gate in gates]
    yield f"{name} time", of, _time(statistics.median(times)), _time(min(times)), _time(max(times))
