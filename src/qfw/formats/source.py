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
TOKEN: Final = re.compile(
    r"""
    \s*+ (?: (?: //[^\n]*+ | /\*.*?\*/ ) \s*+ )*+        # blanks and comments in front of a token
    ( [^\W\d]\w*+                                        # names, Greek letters among them
    | [][(){},;]
    | [0-9][0-9_]*+ (?: \.[0-9_]*+ )? (?: [eE][+-]?[0-9]++ )?
    | \.[0-9][0-9_]*+ (?: [eE][+-]?[0-9]++ )?
    | "[^"\n]*+"? | '[^'\n]*+'?                          # strings, complete or not
    | /\*.*+                                             # a comment without an end
    | \*\* | -> | == | != | <= | >= | && | \|\| | << | >>
    | \S
    | \Z )                                               # the end: an empty token
    """,
    re.VERBOSE | re.DOTALL,
)

Error = TypeVar("Error", bound=ProgramError)


class Source:
    """A text and its tokens; the last token is empty and stands for the end."""

    text: str
    tokens: list[str]

    def __init__(self, text: str) -> None:
        self.text = text
        self.tokens = TOKEN.findall(text)

    def place(self, index: int) -> tuple[int, int]:
        """Line and column of a token, both from 1."""
        match = next(islice(TOKEN.finditer(self.text), index, None), None)
        start = match.start(1) if match else len(self.text)
        return self.text.count("\n", 0, start) + 1, start - self.text.rfind("\n", 0, start)

    def error(self, kind: type[Error], index: int, message: str) -> Error:
        """An error of that kind whose message begins with the place of the token."""
        line, column = self.place(index)
        if issubclass(kind, ParseError):
            return kind(message, line, column)
        return kind(f"line {line}:{column}: {message}")

    def shown(self, index: int) -> str:
        """The token as a message shows it: quoted, and cut where it is long."""
        token = self.tokens[index]
        if not token:
            return "the end of the text"
        return repr(token if len(token) <= 40 else token[:37] + "...")
