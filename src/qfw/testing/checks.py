"""Check: one sentence of the contract, and a function that finds out whether it is kept."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any, Generic, TypeVar

from qfw.model.errors import QFwError, UnsupportedFeature
from qfw.testing.report import Finding, Verdict

S = TypeVar("S")


class Failed(Exception):
    """A check found something else than the contract says."""

    def __init__(self, expected: object, found: object) -> None:
        """Both as people read them."""
        super().__init__(f"expected {expected}; found {found}")
        self.expected, self.found = str(expected), str(found)


class Stuck(Failed):
    """A call did not return, or what must come did not, within a limit."""


class NotApplicable(Exception):
    """The contract does not ask this of what is checked: the text says why."""


@dataclass(frozen=True)
class Check(Generic[S]):
    """One check. `run` raises Failed, Stuck or NotApplicable, or returns."""

    #: group.what
    name: str
    #: What the contract says.
    contract: str
    #: Section of docs/specs/platform.md.
    section: str
    run: Callable[[S], None]

    @property
    def group(self) -> str:
        """The part of the name before the dot."""
        return self.name.partition(".")[0]

    def judge(self, subject: S, device: str) -> Finding:
        """Runs it; whatever happens becomes a finding."""
        began_s = time.monotonic()
        verdict, expected, found = Verdict.PASSED, "", ""
        try:
            self.run(subject)
        except NotApplicable as error:
            verdict, found = Verdict.NOT_APPLICABLE, str(error)
        except Stuck as error:
            verdict, expected, found = Verdict.STUCK, error.expected, error.found
        except Failed as error:
            verdict, expected, found = Verdict.FAILED, error.expected, error.found
        except QFwError as error:
            verdict, expected = Verdict.FAILED, "an answer"
            found = f"{type(error).__name__}: {error}"
        except Exception as error:
            verdict, expected = Verdict.FAILED, "a typed error of qfw.model.errors, or none"
            found = f"{type(error).__name__}: {error}"
        seconds = time.monotonic() - began_s
        return Finding(self.name, device, verdict, self.contract, self.section, expected, found, seconds)


class Checks(Generic[S]):
    """The checks of one kind of subject, in the order in which they were written."""

    def __init__(self) -> None:
        """None yet."""
        self.all: list[Check[S]] = []

    def check(
        self, name: str, contract: str, section: str
    ) -> Callable[[Callable[[S], None]], Callable[[S], None]]:
        """Makes a check of a function."""

        def add(function: Callable[[S], None]) -> Callable[[S], None]:
            assert name not in self.names(), f"two checks are called {name}"
            self.all.append(Check(name, contract, section, function))
            return function

        return add

    def names(self) -> list[str]:
        """Their names, in order."""
        return [check.name for check in self.all]

    def chosen(self, only: Iterable[str]) -> list[Check[S]]:
        """Those whose group or name is in `only`; all where it is empty."""
        wanted = frozenset(only)
        return [check for check in self.all if not wanted or {check.name, check.group} & wanted]


def expect(condition: Any, expected: object, found: object) -> None:
    """Fails the check unless `condition`."""
    if not condition:
        raise Failed(expected, found)


@contextmanager
def refused(*kinds: type[QFwError], what: str) -> Iterator[list[QFwError]]:
    """The block must be refused with one of these errors, which the list has afterwards.

    A message too short to say what to do counts as none.
    """
    names = " or ".join(kind.__name__ for kind in kinds)
    caught: list[QFwError] = []
    try:
        yield caught
    except kinds as error:
        expect(len(str(error)) >= MIN_MESSAGE, f"{names} that says what was asked and found", repr(error))
        caught.append(error)
        return
    except NotApplicable:
        raise
    except Failed:
        raise
    except Exception as error:
        raise Failed(f"{names} for {what}", f"{type(error).__name__}: {error}") from error
    raise Failed(f"{names} for {what}", "it was taken")


#: Characters; shorter ones say neither what was asked nor what to do.
MIN_MESSAGE = 12

#: What a device that does not do something may say.
UNSUPPORTED = UnsupportedFeature
