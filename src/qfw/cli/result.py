"""Show the result of a detached task, whichever process submitted it; wait for it, or cancel it."""

from __future__ import annotations

import argparse
import math
import os
from pathlib import Path
from typing import TYPE_CHECKING, Any

from qfw.cli import output
from qfw.config import discover, runtime
from qfw.model.errors import DaemonUnreachable, OptionError, TaskCancelled

if TYPE_CHECKING:
    from qfw.model.result import Result
    from qfw.qpi.client import Client

EXIT_CODES = """exit codes:
  0  done: the result was shown, or the task was cancelled
  1  failed: the task failed, is not there, or had ended before it could be cancelled
  2  usage: the command line is wrong
  3  no daemon runs where one was asked
  4  not answered yet"""

FAILED, OPEN = 1, 4
#: How long the daemon may take to connect and to say that it has the task.
CONNECT_LIMIT_S = 30.0


def arguments(parser: argparse.ArgumentParser) -> None:
    """The options of `qfw result`."""
    parser.add_argument(
        "handle",
        metavar="HANDLE",
        help="FOLDER:SESSION.SEQUENCE, as TaskFuture.handle gives it; SESSION.SEQUENCE: of your runtime folder",
    )
    parser.add_argument("--json", action="store_true", help="one line of JSON")
    parser.add_argument(
        "--wait", type=_seconds, metavar="S", default=0.0, help="wait up to S seconds for the answer"
    )
    parser.add_argument("--cancel", action="store_true", help="end the task")


def main(options: argparse.Namespace) -> int:
    """Prints the result."""
    # On demand: these import NumPy, which `qfw result --help` need not wait for.
    from qfw.qpi.client import Client
    from qfw.qpi.handle import parse_handle
    from qfw.qpm.remote import Link
    from qfw.qpm.wire import SESSION

    wanted = parse_handle(options.handle)
    if wanted.daemon and os.sep not in wanted.daemon:
        raise OptionError(
            f"{wanted.daemon!r} is the name of a daemon; give its runtime folder: FOLDER:SESSION.SEQUENCE"
        )
    folder = runtime.check(Path(wanted.daemon) if wanted.daemon else discover.runtime_dir())
    try:
        link = Link(folder, "qfw result", SESSION, CONNECT_LIMIT_S)
    except DaemonUnreachable as error:
        raise DaemonUnreachable(
            f"{error}. Results that it kept are given once it is started again: "
            f"qfw daemon start --background --folder {folder}"
        ) from error
    client = Client(link)
    try:
        return _show(client, wanted.task, options)
    finally:
        client.close()


def _show(client: Client, task: int, options: argparse.Namespace) -> int:
    import concurrent.futures

    from qfw.model.errors import ResultTimeout

    future = client.attach(task)
    # What the daemon cannot give is said here.
    handle = future.handle
    try:
        if options.cancel:
            if future.cancel():
                output.note(f"task {handle} was cancelled")
                return 0
            if not future.settled:
                output.note(f"task {handle} is being cancelled, and was not ended yet")
                return OPEN
            output.note(f"task {handle} had ended before it could be cancelled")
            return FAILED
        result = future.result(options.wait)
    except ResultTimeout:
        output.note(f"task {handle} is not answered yet; wait with: qfw result {handle} --wait SECONDS")
        return OPEN
    except concurrent.futures.CancelledError as error:
        raise TaskCancelled(f"task {handle} was cancelled") from error
    if options.json:
        output.json(_document(future.name, result))
    else:
        _print(result)
    return 0


def _document(name: str, result: Result) -> dict[str, Any]:
    """What `--json` prints."""
    conditions = result.conditions
    return {
        "task": name,
        "device": result.device,
        "sets": result.sets,
        "calibration": result.calibration,
        "device_s": conditions.device_ns / 1e9 if conditions else None,
        "notes": conditions.notes if conditions else (),
        "stages_us": result.timeline.stages_us(),
        "timeline": {name: getattr(result.timeline, name) for name in result.timeline.__struct_fields__},
        **_answers(result),
    }


def _answers(result: Result) -> dict[str, Any]:
    """The answers by the names of the Result's properties; amplitudes as pairs (real, imaginary)."""
    found: dict[str, Any] = {}
    for answer in result.answers:
        match answer.__struct_config__.tag:
            case "counts":
                found["counts"] = result.counts
            case "memory":
                found["memory"] = result.memory
            case "expectation":
                found["expectation_values"] = result.expectation_values.tolist()
                found["standard_errors"] = result.standard_errors.tolist()
            case "probabilities":
                found["probabilities"] = result.probabilities.tolist()
            case "statevector":
                state = result.statevector
                found["statevector"] = [
                    list(zip(row.real.tolist(), row.imag.tolist(), strict=True)) for row in state
                ]
    return found


def _print(result: Result) -> None:
    """One table of all answers: a line for each value, with the set that it is of."""
    found = _answers(result)
    rows: list[list[object]] = []
    for index, counts in enumerate(found.get("counts", ())):
        rows += [[index, "count", bits, str(count)] for bits, count in sorted(counts.items())]
    for index, shots in enumerate(found.get("memory", ())):
        rows += [[index, "shot", str(shot), bits] for shot, bits in enumerate(shots)]
    errors = found.get("standard_errors", ())
    for index, values in enumerate(found.get("expectation_values", ())):
        for at, (value, error) in enumerate(zip(values, errors[index], strict=True)):
            spread = f" ± {error:.2g}" if error else ""
            rows.append([index, "expectation", str(at), f"{value:.12g}{spread}"])
    for index, values in enumerate(found.get("probabilities", ())):
        rows += [
            [index, "probability", _bits(at, values), f"{value:.12g}"] for at, value in enumerate(values)
        ]
    for index, values in enumerate(found.get("statevector", ())):
        rows += [
            [index, "amplitude", _bits(at, values), f"{complex(*value):.12g}"]
            for at, value in enumerate(values)
        ]
    output.table(["SET", "WHAT", "OF", "VALUE"], rows)
    if result.calibration:
        output.note(f"{result.device} ran it under calibration {result.calibration}")


def _bits(index: int, values: list[object]) -> str:
    return format(index, f"0{max(1, (len(values) - 1).bit_length())}b")


def _seconds(text: str) -> float:
    try:
        seconds = float(text)
    except ValueError:
        seconds = math.nan
    if not 0 <= seconds < math.inf:
        raise argparse.ArgumentTypeError(f"seconds from 0 are waited for, not {text!r}")
    return seconds
