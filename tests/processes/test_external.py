"""External tools: what a command makes of a program, and that one that errs is ended and named."""

from __future__ import annotations

import shlex
import signal
import subprocess
import sys
from pathlib import Path
from typing import Any

import msgspec
import pytest

from qfw.config.discover import child_environment
from qfw.config.settings import ExternalTool, Settings, load
from qfw.model.errors import (
    ConfigError,
    NotInstalled,
    OptionError,
    ToolFailed,
    UnknownDevice,
    UnsupportedFeature,
)
from qfw.model.program import Gate, Measure, Program, slot
from qfw.numerics.equivalence import compare
from qfw.processes import external
from qfw.qpm import registry
from qfw.qpm.tool import Tool
from qfw.testing import Verdict, check_tool
from qfw.testing.tool_programs import ideal
from tests.stack import LIMIT_S, is_alive, until

PROGRAM = Program(
    2,
    2,
    2,
    (Gate("ry", (0,), (slot(0, 2.0, 0.1),)), Gate("rz", (1,), (slot(1),)), Gate("cx", (0, 1)), Measure(1, 0)),
)
TARGET = ideal()


def tool(*command: str, **declared: Any) -> Any:
    return external.kind("mine", ExternalTool(command, **declared))()


def python(code: str, **declared: Any) -> Any:
    return tool(sys.executable, "-c", "import sys\n" + code, **declared)


def made(of: Any, program: Program = PROGRAM) -> Program:
    found: Program = of.apply(program, TARGET, {}).program
    return found


def test_a_command_reads_a_program_and_writes_one() -> None:
    assert isinstance(tool("cat"), Tool)
    assert made(tool("cat")) == PROGRAM
    assert made(python("sys.stdout.write(sys.stdin.read().replace('ry(', 'rx('))")).operations[0].name == "rx"
    assert made(tool("cat", format="qasm2"), PROGRAM.bound([0.3, 0.4])) == PROGRAM.bound([0.3, 0.4])


def test_qir_is_read_and_written() -> None:
    bound = PROGRAM.bound([0.3, 0.4])
    found = made(tool("cat", format="qir"), bound)
    assert found.num_clbits == bound.num_clbits and compare(bound, found, None).equal
    with pytest.raises(UnsupportedFeature, match="takes no parameters"):
        made(tool("cat", format="qir"))
    with pytest.raises(ToolFailed, match="wrote what is no QIR"):
        made(python("print('OPENQASM 3.0; qubit q;')", format="qir"), bound)


def test_it_keeps_its_contract() -> None:
    report = check_tool(external.kind("mine", ExternalTool(("cat",))), only={"tool", "options", "program"})
    # Delays come back where the reader of OpenQASM takes them.
    failed = [f for f in report.of(Verdict.FAILED, Verdict.STUCK) if f.check != "program.delay"]
    assert not failed and len(report.of(Verdict.PASSED)) >= 14, failed


def test_inputs_in_another_order_are_the_slots_that_they_were() -> None:
    turned = python(
        "a = 'input float[64] p0;\\n'; b = 'input float[64] p1;\\n'\n"
        "print(sys.stdin.read().replace(a + b, '// input float q;\\n' + b + a))"
    )
    assert made(turned) == PROGRAM


BROKEN: dict[str, tuple[str, str]] = {
    "crash": (
        "sys.stderr.write('x' * 10**6 + 'out of cheese'); sys.exit(3)",
        "ended with exit code 3.*out of cheese",
    ),
    "signal": ("import os; os.kill(os.getpid(), 11)", "killed by SIGSEGV"),
    "signal without a name": ("import os; os.kill(os.getpid(), 40)", r"killed by SIGRTMIN\+6"),
    "broken pipe": ("import os, signal; signal.signal(13, 0); os.kill(os.getpid(), 13)", "killed by SIGPIPE"),
    "hang": (
        "sys.stderr.write('thinking'); sys.stderr.flush(); import time; time.sleep(99)",
        "longer than .* thinking",
    ),
    "closed and hangs": ("import os, time; os.close(1); os.close(2); time.sleep(99)", "it took longer than"),
    "flood": ("while True: sys.stdout.write('x' * 65536)", "wrote more than 100000 bytes"),
    "floods its errors": ("while True: sys.stderr.write('x' * 65536)", "it took longer than"),
    "file": ("open('f', 'wb').write(bytes(10**8))", "exit code|SIGXFSZ"),
    "memory": ("a = bytearray(3 * 10**9)", "exit code 1.*MemoryError"),
    "garbage": ("print('hello')", "wrote what is no OpenQASM 3: line 1:1"),
    "nothing": ("", "wrote what is no OpenQASM 3"),
    "no text": ("sys.stdout.buffer.write(bytes(range(128, 256)))", "wrote what is no OpenQASM 3"),
    "nested": ("print('OPENQASM 3.0; qubit q; rx(' + '(' * 10**4 + ' q;')", "wrote what is no OpenQASM 3"),
    "drops a slot": (
        "print(sys.stdin.read().replace('input float[64] p1;', 'const float[64] p1 = 1.0;'))",
        "leaves out p1",
    ),
    "renames a slot": (
        "print(sys.stdin.read().replace('p1', 'angle1'))",
        "leaves out p1 and declares p0, angle1",
    ),
    "loses a qubit": (
        "print('OPENQASM 3.0; input float[64] p0; input float[64] p1; qubit q; bit[2] c; c[0] = measure q;')",
        "2 qubits went in, and 1 came out",
    ),
    "measures nothing": (
        "print(sys.stdin.read().replace('c[0] = measure q[1];', ''))",
        "went in measures, and the one that came out measures nothing",
    ),
}


@pytest.mark.parametrize("what", BROKEN)
def test_a_command_that_errs_is_ended_and_named(what: str) -> None:
    code, said = BROKEN[what]
    limit_s = 1.0 if "hang" in what or "floods" in what else 30.0
    with pytest.raises(ToolFailed, match=rf"(?s)external tool mine \({sys.executable}\).*({said})") as raised:
        made(python(code, time_limit_s=limit_s, output_bytes=100_000, memory_bytes=2**30))
    assert len(str(raised.value)) < 1500


def test_a_large_input_that_is_read_late_or_not_at_all_blocks_nothing() -> None:
    wide = Program(4, 0, 0, tuple(Gate("rx", (q % 4,), (0.1 * q,)) for q in range(20_000)))
    # Writes all of its output before it reads.
    echo = python(
        "sys.stdout.write('/*' + ' ' * 300_000 + '*/'); sys.stdout.flush(); sys.stdout.write(sys.stdin.read())"
    )
    assert made(echo, wide) == wide
    assert made(python("print('include \"stdgates.inc\"; qubit[4] q; x q[0];')"), wide).operations == (
        Gate("x", (0,)),
    )


def test_signals_are_as_a_shell_leaves_them(tmp_path: Path) -> None:
    note = tmp_path / "status"
    assert made(tool("sh", "-c", f"grep SigIgn /proc/self/status > {shlex.quote(str(note))}; cat")) == PROGRAM
    ignored = int(note.read_text().split()[1], 16)
    # Python ignores both, and what it starts would too: a writer whose reader is gone would go on.
    assert not any(ignored >> (number - 1) & 1 for number in (signal.SIGPIPE, signal.SIGXFSZ))


def test_what_it_leaves_behind_is_ended(tmp_path: Path) -> None:
    note = tmp_path / "pid"
    # The child holds the pipes open, and outlives its parent.
    leaves = tool("sh", "-c", f"sleep 600 & echo $! > {shlex.quote(str(note))}; cat")
    assert made(leaves) == PROGRAM
    until(lambda: not is_alive(int(note.read_text())), "a process that a command left behind")
    hangs = tool("sh", "-c", f"sleep 600 & echo $! > {shlex.quote(str(note))}; wait", time_limit_s=1.0)
    with pytest.raises(ToolFailed, match="longer than 1 s"):
        made(hangs)
    until(lambda: not is_alive(int(note.read_text())), "a process that a command left behind")


def test_it_runs_in_an_empty_folder_with_little_around_it(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("A_SECRET", "12345")
    look = (
        "import os; sys.exit(repr((sorted(os.environ), os.listdir('.'), os.getcwd() == os.environ['HOME'])))"
    )
    with pytest.raises(ToolFailed) as raised:
        made(python(look))
    assert "A_SECRET" not in str(raised.value) and "12345" not in str(raised.value)
    assert "[], True)" in str(raised.value)


def test_no_shell_sees_its_arguments() -> None:
    with pytest.raises(ToolFailed, match=r"said: \$HOME; `ls`"):
        made(tool(sys.executable, "-c", "import sys; sys.exit('said: ' + sys.argv[1])", "$HOME; `ls`"))


def test_a_command_that_is_not_there() -> None:
    with pytest.raises(
        NotInstalled, match=r"no command 'no-such-command-here'.*tools\.external\.mine\.command"
    ):
        tool("no-such-command-here")


def test_what_a_format_has_no_words_for_is_the_programs_fault() -> None:
    with pytest.raises(UnsupportedFeature, match="OpenQASM 2 has no inputs"):
        made(tool("cat", format="qasm2"))


def test_options_are_refused() -> None:
    with pytest.raises(OptionError, match="has no option 'level'"):
        external.kind("mine", ExternalTool(("cat",))).check_options({"level": 1})


SETTINGS = """
[tools.external.tidy]
command = ["cat"]
keeps = "equivalence"
"""


def test_three_lines_of_settings(tmp_path: Path) -> None:
    path = tmp_path / "settings.toml"
    path.write_text(SETTINGS)
    declared = load(path).tools.external["tidy"]
    assert declared == ExternalTool(("cat",)) and Settings().tools.external == {}
    external.declare_configured(path)
    marked = registry.marked(registry.TOOLS, "tidy")
    assert "tidy" in registry.names(registry.TOOLS) and marked == f"tidy@{external.mark(declared)}"
    kind = registry.load(registry.TOOLS, "tidy")
    assert registry.load(registry.TOOLS, marked) is kind and kind.version() == external.mark(declared)
    # What is meant is what was declared, and no other command of that name.
    path.write_text(SETTINGS.replace("cat", "tac"))
    external.declare_configured(path)
    assert registry.marked(registry.TOOLS, "tidy") != marked
    with pytest.raises(UnknownDevice, match="tool 'tidy' is declared otherwise here"):
        registry.load(registry.TOOLS, marked)


@pytest.mark.parametrize(
    ("declared", "said"),
    [
        ({"reduce": ExternalTool(("cat",))}, "tool 'reduce' is installed"),
        ({"a b": ExternalTool(("cat",))}, "a tool's name is a letter"),
        ({"a@b": ExternalTool(("cat",))}, "a tool's name is a letter"),
        ({"mine": ExternalTool()}, "mine.command is \\[\\]"),
        ({"mine": ExternalTool(("",))}, "it names a program"),
    ],
)
def test_declarations_that_cannot_be(declared: dict[str, ExternalTool], said: str) -> None:
    with pytest.raises(ConfigError, match=said):
        external.declare(declared)


@pytest.mark.parametrize(
    ("line", "said"),
    [
        ('comand = ["cat"]', "did you mean `command`"),
        ('command = "cat"', "allowed: a list of texts"),
        ('command = ["cat"]\nformat = "qasm"', 'allowed: "qasm2" or "qasm3" or "qir"'),
        ('command = ["cat"]\ntime_limit_s = 0', "time_limit_s is 0"),
    ],
)
def test_settings_that_are_wrong(tmp_path: Path, line: str, said: str) -> None:
    path = tmp_path / "settings.toml"
    path.write_text(f"[tools.external.tidy]\n{line}\n")
    with pytest.raises(ConfigError, match=said):
        load(path)


def test_marks_are_of_all_that_is_declared() -> None:
    one = ExternalTool(("cat",))
    others = [
        ("command", ("cat", "-")),
        ("format", "qasm2"),
        ("keeps", "distribution"),
        ("time_limit_s", 1.0),
    ]
    marks = {external.mark(msgspec.structs.replace(one, **{name: value})) for name, value in others}
    assert len(marks | {external.mark(one)}) == 5


def test_what_a_command_started_does_not_outlive_whoever_asked(tmp_path: Path) -> None:
    note = tmp_path / "pid"
    # A tool worker that is killed is given no time to end anything.
    code = (
        "import os, sys\n"
        "from qfw.config.settings import ExternalTool\n"
        "from qfw.processes import external\n"
        "from tests.processes.test_external import PROGRAM, TARGET\n"
        "command = ('sh', '-c', 'sleep 600 & echo $! > \"$1\"; wait', 'sh', sys.argv[1])\n"
        "external.kind('mine', ExternalTool(command))().apply(PROGRAM, TARGET, {})\n"
    )
    asking = subprocess.Popen(
        [sys.executable, "-c", code, str(note)],
        env=child_environment(PYTHONPATH=":".join(filter(None, sys.path))),
    )
    try:
        pid = int(until(lambda: note.exists() and note.read_text().strip(), "the command to start"))
        assert is_alive(pid)
    finally:
        asking.kill()
        asking.wait(LIMIT_S)
    until(lambda: not is_alive(pid), "a process that a command started outlives whoever asked")
