"""Start a daemon that outlives sessions, and drain, reload or stop it.

`qfw daemon start --config FILE` serves in the foreground, as a service manager or a job's script wants it.
SIGTERM stops it: what runs ends, what waits stays listed in its journal. SIGHUP has it read its settings again.
"""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

from qfw.cli import daemon_start, output, private
from qfw.config import discover, runtime, settings
from qfw.model.errors import DaemonUnreachable, ResultTimeout, UsageError
from qfw.qpm.remote import Observer
from qfw.qpm.status import DaemonStatus, Outcome

VERBS = {
    "drain": "take no new tasks; what was taken goes on",
    "resume": "take tasks again",
    "reload": "read the settings file again; what cannot change is named",
    "stop": "let what runs end, leave what waits listed in the journal, and end",
    "status": "what it is and does, and what a reload would change",
}
#: Seconds that a stop may take beyond the time for what runs.
CLOSING_S = 20.0


def arguments(parser: argparse.ArgumentParser) -> None:
    """Sub-commands and their options."""
    verbs = parser.add_subparsers(dest="verb", required=True, metavar="COMMAND")
    text = "start one"
    daemon_start.arguments(verbs.add_parser("start", help=text, description=text))
    for verb, text in VERBS.items():
        made = verbs.add_parser(verb, help=text, description=text)
        made.add_argument("--folder", type=Path, help="its runtime folder")
        made.add_argument("--name", help="its name or scope, among those that the environment names")
        made.add_argument("--json", action="store_true", help="one line of JSON")


def main(options: argparse.Namespace) -> int:
    """Runs one of them; the exit code."""
    if options.verb == "start":
        return daemon_start.main(options)
    folder = _found(options.folder, options.name)
    with _observed(folder) as observer:
        before = observer.daemon()
        if options.verb == "status":
            _show(before, options.json)
            return 0
        outcome = observer.control(options.verb)
    if options.verb == "stop":
        output.note(f"{outcome.said}; waiting for the daemon's end (pid {before.pid})")
        if not private.wait_until_gone(before.pid, before.stop_limit_s + CLOSING_S):
            raise ResultTimeout(
                f"the daemon (pid {before.pid}) has not ended within {before.stop_limit_s + CLOSING_S:g} s. A second "
                f"signal ends it at once: kill {before.pid}; its log: {runtime.log_path(folder)}"
            )
    _say(outcome, options.json)
    return 0


def _say(outcome: Outcome, as_json: bool) -> None:
    if as_json:
        output.json(outcome)
    elif outcome.verb == "stop":
        sys.stdout.write("the daemon has ended\n")
    else:
        sys.stdout.write(f"{outcome.said}\n")


def _show(status: DaemonStatus, as_json: bool) -> None:
    if as_json:
        output.json(status)
        return
    takes = "yes"
    if status.stopping:
        takes = "no: it stops when what runs has ended"
    elif status.draining:
        takes = f"no, for {status.draining_s:.0f} s: {status.draining}"
    rows = [
        ("scope", status.scope),
        ("name", status.name),
        ("pid", str(status.pid)),
        ("version", status.version),
        ("folder", status.folder),
        ("settings", status.config or "the defaults"),
        ("uptime", f"{status.uptime_s:.0f} s"),
        ("takes tasks", takes),
        ("devices", str(status.devices)),
        ("sessions", str(status.sessions)),
        ("tasks", f"{status.tasks}, of which {status.running} run"),
        ("reload changes", ", ".join(status.reload) or "nothing"),
        ("needs a restart", ", ".join(status.restart) or "nothing"),
    ]
    if status.problem:
        rows.append(("settings are wrong", status.problem))
    width = max(len(name) for name, _ in rows)
    for name, value in rows:
        sys.stdout.write(f"{name.ljust(width)}  {value}\n")


def _observed(folder: Path) -> Observer:
    try:
        return Observer(folder)
    except DaemonUnreachable as error:
        raise DaemonUnreachable(
            f"{error}. Name another folder with --folder, or start one: qfw daemon start --background"
        ) from error


def _found(folder: Path | None, name: str | None) -> Path:
    """Runtime folder of the daemon that is meant.

    Raises:
        DaemonUnreachable: none of that name answers.
        UsageError: several could be meant.
    """
    if folder is not None:
        return folder.absolute()
    job = discover.job_daemon()
    named = list(dict.fromkeys([*([job] if job else []), *discover.site_daemons()]))
    if name is not None:
        for found in named:
            try:
                with Observer(found) as observer:
                    if name in (observer.welcome.name, observer.welcome.scope):
                        return found
            except DaemonUnreachable:
                continue
        looked = ", ".join(map(str, named)) or "nothing"
        raise DaemonUnreachable(
            f"no daemon called {name!r} answers; ${discover.JOB_DAEMON} and ${discover.SITE_DAEMONS} name {looked}. "
            f"Name its folder: --folder"
        )
    own = _configured() or discover.runtime_dir()
    if runtime.socket_path(own).exists() or not named:
        return own.absolute()
    if len(named) > 1:
        raise UsageError(
            f"several daemons could be meant: {', '.join(map(str, named))}. Say which: --folder, or --name"
        )
    return named[0]


def _configured() -> Path | None:
    """The folder that $QFW_CONFIG names."""
    path = discover.config_path()
    chosen = settings.load(path).daemon.folder if path is not None else ""
    return Path(chosen) if chosen else None
