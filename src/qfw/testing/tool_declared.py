"""Checks of what a tool says of itself, and of its options."""

from __future__ import annotations

import difflib
import json
import math
import pickle
import subprocess
import sys
from collections.abc import Mapping
from typing import Any

from qfw.config.discover import child_environment
from qfw.model.errors import OptionError
from qfw.qpm.tool import KEEPS, CheckingTool, Needs, SplittingTool, Tool, compares, needs_of, splits
from qfw.testing.checks import MIN_MESSAGE, Checks, Failed, NotApplicable, expect, refused
from qfw.testing.tool_programs import OUTPUTS
from qfw.testing.tool_subject import ToolSubject

checks: Checks[ToolSubject] = Checks()
check = checks.check

#: Seconds that importing a tool's module may take in a process of its own.
IMPORT_LIMIT_S = 60.0
#: Packages that a tool's module may import besides its own, and what the contract's module imports.
LIGHT = frozenset({"qfw"})
#: What no option is, whatever it is for.
NONSENSE: tuple[Any, ...] = (math.nan, {"?": [None]}, [["?"]], "\0 no such value")

_IMPORTED = """
import importlib, json, sys
import numpy, numpy.random, qfw.qpm.tool
before = set(sys.modules)
tops = {name.partition(".")[0] for name in before}
importlib.import_module(sys.argv[1])
names = sorted({name.partition(".")[0] for name in set(sys.modules) - before} - set(sys.stdlib_module_names) - tops)
print("\\n" + json.dumps([name for name in names if not name.startswith("_")]))
"""


@check("tool.protocol", "A tool has all that its protocol in qfw.qpm.tool names.", "Declarations")
def _protocol(subject: ToolSubject) -> None:
    kind = subject.kind
    protocol: Any = SplittingTool if splits(kind) else CheckingTool if compares(kind) else Tool
    names = [*protocol.__annotations__, "version", "check_options"]
    names += ["split", "combine"] if splits(kind) else ["compare"] if compares(kind) else ["apply"]
    missing = [name for name in names if not hasattr(kind, name)]
    expect(not missing, f"all of {protocol.__name__}", f"without {', '.join(missing)}")
    expect(isinstance(subject.tool, protocol), f"a {protocol.__name__}", type(subject.tool).__name__)


@check("tool.claims", "What it declares has the types and words of the contract.", "Declarations")
def _claims(subject: ToolSubject) -> None:
    kind = subject.kind
    expect(kind.keeps in KEEPS, f"keeps: one of {', '.join(KEEPS)}", repr(kind.keeps))
    for name in ("needs_client", "binds", "lowers"):
        found = getattr(kind, name, False)
        by_target = name == "binds" and callable(found)
        expect(isinstance(found, bool) or by_target, f"{name} as a bool", repr(found))
    needs = needs_of(kind)
    expect(isinstance(needs, Needs), "needs as qfw.qpm.tool.Needs", repr(needs))
    sane = (
        needs.time_s >= 0 and math.isfinite(needs.time_s) and needs.memory_bytes >= 0 and needs.workers >= 1
    )
    expect(sane, "needs of 0 or more, and of one worker at least", needs)
    if splits(kind):
        unknown = sorted(set(kind.answers) - set(OUTPUTS))
        expect(kind.answers and not unknown, "answers: some of qfw.model.outputs", unknown or "none")


@check("tool.options_said", "Every option says what it means, for people.", "Declarations")
def _said(subject: ToolSubject) -> None:
    options = subject.kind.options
    expect(isinstance(options, Mapping), "a mapping of options", type(options).__name__)
    bad = [name for name, text in options.items() if not (name and isinstance(text, str) and len(text) >= 8)]
    expect(not bad, "a text for each option", f"none for {', '.join(map(repr, bad))}")


@check("tool.version", "It knows the version of itself or its framework, as text.", "Declarations")
def _version(subject: ToolSubject) -> None:
    found = subject.kind.version()
    expect(isinstance(found, str) and found, "a version", repr(found))


@check(
    "tool.class_is_light",
    "The class can be pickled by name: nothing of a framework hangs on it.",
    "Declarations",
)
def _light(subject: ToolSubject) -> None:
    _ = subject.importable
    expect(pickle.loads(pickle.dumps(subject.kind)) is subject.kind, "the class itself", "another object")


@check("tool.module_is_light", "Its module imports without its framework.", "Declarations")
def _module(subject: ToolSubject) -> None:
    module = subject.importable.partition(":")[0]
    # Its own package may be a plugin of something that is there already.
    own = {module.partition(".")[0]}
    try:
        ran = subprocess.run(
            [sys.executable, "-c", _IMPORTED, module],
            capture_output=True,
            timeout=IMPORT_LIMIT_S,
            env=child_environment(PYTHONPATH=":".join(path for path in sys.path if path)),
        )
    except subprocess.TimeoutExpired as error:
        raise Failed(f"an import within {IMPORT_LIMIT_S:g} s", "none") from error
    expect(ran.returncode == 0, "an import", ran.stderr.decode(errors="replace")[-500:])
    heavy = sorted(set(json.loads(ran.stdout.splitlines()[-1])) - LIGHT - own)
    expect(not heavy, "no framework; its constructor imports it", ", ".join(heavy))


@check(
    "options.given",
    "It takes the options that it is checked with, and finds them right again and again.",
    "Options",
)
def _given(subject: ToolSubject) -> None:
    for _ in range(2):
        subject.kind.check_options(subject.options)


@check("options.unknown", "An option that it does not know is an OptionError.", "Options")
def _unknown(subject: ToolSubject) -> None:
    with refused(OptionError, what="an option that there is not"):
        subject.kind.check_options({**subject.options, "no_such_option_": 1})


@check("options.nearest", "Of a misspelt option the error names the nearest.", "Options")
def _nearest(subject: ToolSubject) -> None:
    names = list(subject.kind.options)
    tried = 0
    for name in names:
        wrong = name[:-2] + name[-1] + name[-2] if len(name) > 2 and name[-1] != name[-2] else name + "_"
        if wrong in names or difflib.get_close_matches(wrong, names, n=1) != [name]:
            continue
        tried += 1
        with refused(OptionError, what=f"option {wrong!r}") as caught:
            subject.kind.check_options({**subject.options, wrong: 1})
        expect(name in str(caught[0]), f"an error that names {name!r}", str(caught[0]))
    if not tried:
        raise NotApplicable("it has no option that could be misspelt")


@check("options.wrong_values", "A value that no option can have is an OptionError.", "Options")
def _wrong(subject: ToolSubject) -> None:
    if not subject.kind.options:
        raise NotApplicable("it has no option")
    for name in subject.kind.options:
        refusals = 0
        for value in NONSENSE:
            try:
                subject.kind.check_options({**subject.options, name: value})
            except OptionError as error:
                expect(len(str(error)) >= MIN_MESSAGE, f"an error that says what {name} may be", repr(error))
                refusals += 1
        expect(
            refusals >= len(NONSENSE) - 1,
            f"OptionError for {name} of nan, or of nested maps and lists",
            "it was taken",
        )
