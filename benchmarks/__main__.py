"""`python -m benchmarks`: measures QFw beside its peers; see docs/benchmarks.md.

Exit code 0 unless something failed to run or disagreed: goals are not gates.
"""

from __future__ import annotations

import argparse
import os
import signal
import subprocess
import sys
import time
import traceback
from pathlib import Path

import msgspec

from benchmarks.catalogue import BENCHMARKS, Benchmark, chosen
from benchmarks.measure import Effort, NotInstalled, Outcome

ROOT = Path(__file__).parents[1]
RESULTS = Path(__file__).parent / "results.json"


class _Told(msgspec.Struct):
    """What a benchmark's process tells the one that started it."""

    outcomes: list[Outcome] = []
    not_installed: str = ""
    failure: str = ""


def main() -> int:
    """The command."""
    arguments = _parse()
    if arguments.inside:
        return _inside(arguments.inside, Path(arguments.told), Effort(arguments.share))
    if arguments.list:
        for benchmark in BENCHMARKS:
            print(f"{benchmark.name:24} {benchmark.about}")
            for name in benchmark.names[1:]:
                print(f"  {name}")
        return 0
    from benchmarks import report

    if arguments.write_docs and arguments.only is None:
        report.write_docs(report.read_json(arguments.json))
        return 0
    try:
        benchmarks = chosen(arguments.only or [])
    except KeyError as error:
        print(f"error: {error.args[0]}", file=sys.stderr)
        return 2
    outcomes: list[Outcome] = []
    missing: dict[str, str] = {}
    failures: dict[str, str] = {}
    began = time.monotonic()
    for position, benchmark in enumerate(benchmarks, 1):
        print(f"[{position}/{len(benchmarks)}] {benchmark.name} …", file=sys.stderr, flush=True)
        started = time.monotonic()
        told = _outside(benchmark, 0.05 if arguments.quick else arguments.share)
        outcomes += told.outcomes
        if told.not_installed:
            missing[benchmark.name] = told.not_installed
        if told.failure:
            failures[benchmark.name] = told.failure
        print(f"      {time.monotonic() - started:.0f} s", file=sys.stderr, flush=True)
    from rich.console import Console

    report.table(outcomes, missing, Console(width=None if sys.stdout.isatty() else 150))
    report.write_json(outcomes, arguments.json)
    print(f"{len(outcomes)} figures in {time.monotonic() - began:.0f} s: {arguments.json}", file=sys.stderr)
    if arguments.write_docs:
        report.write_docs(outcomes)
    for name, failure in failures.items():
        print(f"failed: {name}\n{failure}", file=sys.stderr)
    return 1 if failures else 0


def _parse() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m benchmarks", description=(__doc__ or "").split("\n")[0])
    parser.add_argument("--list", action="store_true", help="what there is")
    parser.add_argument(
        "--only", nargs="+", metavar="NAME", help="these figures, and those measured with them"
    )
    parser.add_argument("--quick", action="store_true", help="a twentieth of the pairs: whether it works")
    parser.add_argument("--share", type=float, default=1.0, help="share of the pairs (default: %(default)s)")
    parser.add_argument("--json", type=Path, default=RESULTS, metavar="PATH", help="default: %(default)s")
    parser.add_argument(
        "--write-docs",
        action="store_true",
        help="put the figures of --json into docs/benchmarks.md; runs nothing",
    )
    parser.add_argument("--inside", metavar="NAME", help=argparse.SUPPRESS)
    parser.add_argument("--told", help=argparse.SUPPRESS)
    return parser.parse_args()


def _outside(benchmark: Benchmark, share: float) -> _Told:
    """Runs a benchmark in a process of its own, under a stack of its own."""
    from benchmarks.stack import folder

    with folder(benchmark.engines) as (made, environment):
        told, log = made / "told.json", made / "log"
        command = [sys.executable, "-m", "benchmarks", f"--inside={benchmark.name}"]
        command += [f"--told={told}", f"--share={share}"]
        with log.open("wb") as output:
            process = subprocess.Popen(
                command,
                cwd=ROOT,
                env=environment,
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=subprocess.STDOUT,
                start_new_session=True,
            )
            try:
                process.wait(benchmark.limit_s)
            except subprocess.TimeoutExpired:
                failure = f"not done within {benchmark.limit_s:g} s"
            except KeyboardInterrupt:
                _end(process)
                raise
            else:
                failure = f"ended with code {process.returncode}"
            _end(process)
        if told.exists():
            return msgspec.json.decode(told.read_bytes(), type=_Told)
        return _Told(failure=f"{failure}; its last words:\n{log.read_text(errors='replace')[-3000:]}")


def _end(process: subprocess.Popen[bytes]) -> None:
    if process.poll() is None:
        os.killpg(process.pid, signal.SIGKILL)
        process.wait()


def _inside(name: str, told: Path, effort: Effort) -> int:
    found = _Told()
    try:
        found.outcomes = next(b for b in BENCHMARKS if b.name == name).run(effort)
    except NotInstalled as error:
        found.not_installed = str(error)
    except Exception:
        found.failure = traceback.format_exc()
    fresh = told.with_suffix(".new")
    fresh.write_bytes(msgspec.json.encode(found))
    fresh.replace(told)
    return 0


if __name__ == "__main__":
    sys.exit(main())
