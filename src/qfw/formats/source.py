"""Foreign text cut into tokens by one compiled regular expression, and the place of each token.

Tokens are plain strings without positions, which keeps cutting fast and small; where an
error needs a line and a column, the text is cut once more up to that token.
"""

from __future__ import annotations

import re
from itertools import islice
from typing import Final, TypeVar

from qfw.model.errors import ParseError, ProgramError

#: Every alternative consumes what it scanned, and the repetitions never give back (`*+`), so that
#: time is linear in the text, also for what never ends: a comment, a string, blanks before the end.
_TOKENS: Final = r"""
    [^\W\d]\w*+                                          # names, Greek letters among them
    | [][(){},;]
    | [0-9][0-9_]*+ (?: \.[0-9_]*+ )? (?: [eE][+-]?[0-9]++ )?
    | \.[0-9][0-9_]*+ (?: [eE][+-]?[0-9]++ )?
    | "[^"\n]*+"? | '[^'\n]*+'?                          # strings, complete or not
    | /\*.*+                                             # a comment without an end
    | (?: \*\* | << | >> ) =?+ | [-+*/%&|^=!<>]= | -> | && | \|\| | \+\+
    | \S
    | \Z                                                 # the end: an empty token
"""
_COMMENT: Final = r"//[^\n]*+ | /\*.*?\*/"
_FLAGS: Final = re.VERBOSE | re.DOTALL
TOKEN: Final = re.compile(rf"\s*+ (?: (?: {_COMMENT} ) \s*+ )*+ ( {_TOKENS} )", _FLAGS)
#: A pragma or an annotation takes the rest of its line, and is one token with the line's end in front.
_LINE: Final = r"[^\S\n]*+ (?: @[^\W\d] | \#?pragma\b )"
_TOKEN_OR_LINE: Final = re.compile(
    rf"(?: [^\S\n]++ | \n (?! {_LINE} ) | {_COMMENT} )*+ ( (?: \n | \A ) {_LINE} [^\n]*+ | {_TOKENS} )",
    _FLAGS,
)
#: Endings of files that have programs in them.
_ENDINGS: Final = (".qasm", ".qasm2", ".qasm3", ".ll", ".bc", ".qir", ".qfw")
#: Characters of a line that a message shows.
_SHOWN = 100

Error = TypeVar("Error", bound=ProgramError)


def refuse_path(text: str) -> None:
    """Raises ParseError for the path of a file, given where its text belongs."""
    if len(text) < 4096 and text.endswith(_ENDINGS) and "\n" not in text:
        raise ParseError(
            f"{text!r} is no program but the path of one: give what is in the file, Path({text!r}).read_text() or "
            "read_bytes(); of a .qfw file session.load(path)"
        )


class Source:
    """A text and its tokens; the last ones are empty and stand for the end."""

    text: str
    tokens: list[str]

    def __init__(self, text: str) -> None:
        self.text = text
        self._token = _TOKEN_OR_LINE if "@" in text or "pragma" in text else TOKEN
        # Readers look a few tokens ahead.
        self.tokens = [*self._token.findall(text), "", "", "", ""]

    def place(self, index: int) -> tuple[int, int]:
        """Line and column of a token, both from 1."""
        match = next(islice(self._token.finditer(self.text), index, None), None)
        start = match.start(1) if match else len(self.text)
        if match and match[1][:1] == "\n":
            start += len(match[1]) - len(match[1].lstrip())
        return self.text.count("\n", 0, start) + 1, start - self.text.rfind("\n", 0, start)

    def error(self, kind: type[Error], index: int, message: str) -> Error:
        """An error of that kind whose message begins with the place of the token.

        A ParseError ends with the line itself, and a caret under the token.
        """
        line, column = self.place(index)
        if issubclass(kind, ParseError):
            return kind(f"{message}\n{self._pointed_at(line, column)}", line, column)
        return kind(f"line {line}:{column}: {message}")

    def _pointed_at(self, line: int, column: int) -> str:
        """The line, or as much of it as fits around the column, and a caret below the column."""
        start = 0
        for _ in range(line - 1):
            start = self.text.index("\n", start) + 1
        end = self.text.find("\n", start)
        end = len(self.text) if end < 0 else end
        first = start if column <= _SHOWN else start + column - _SHOWN // 2
        shown = self.text[first : min(end, first + _SHOWN)]
        # What moves the cursor would move the caret away from its place.
        plain = "".join(character if character.isprintable() else " " for character in shown)
        return f"    {plain.rstrip()}\n    {' ' * (start + column - 1 - first)}^"

    def shown(self, index: int) -> str:
        """The token as a message shows it: quoted, and cut where it is long."""
        token = self.tokens[index]
        if not token:
            return "the end of the text"
        return repr(token if len(token) <= 40 else token[:37] + "...")
