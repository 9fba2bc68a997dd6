"""Every text of tests/corpus/openqasm comes to what its last lines say.

`//= statements`: the same operations as these statements, after the text's own head of declarations.
`//# operation`: the program has this operation; `//! Error line:column words`: it is refused so.
"""

from __future__ import annotations

import random
from pathlib import Path

import pytest

from qfw.formats.openqasm import dumps, loads
from qfw.formats.precheck import Limits
from qfw.model import errors
from qfw.model.program import Program

CORPUS = sorted((Path(__file__).parents[1] / "corpus" / "openqasm").glob("*.qasm"))
HEAD = 'OPENQASM 3.0;\ninclude "stdgates.inc";\n'
GOOD = [path for path in CORPUS if not path.name.startswith("bad_")]


def split(path: Path) -> tuple[str, list[str]]:
    lines = path.read_text(encoding="utf-8").splitlines()
    said = [line for line in lines if line[:3] in ("//=", "//#", "//!")]
    return "\n".join(line for line in lines if line not in said), said


@pytest.mark.parametrize("path", CORPUS, ids=lambda path: path.stem)
def test_text_comes_to_what_it_says(path: Path) -> None:
    text, said = split(path)
    assert said
    for line in said:
        mark, words = line[:3], line[4:]
        if mark == "//!":
            kind, place, message = words.split(" ", 2)
            with pytest.raises(errors.ProgramError) as refusal:
                loads(text)
            assert type(refusal.value).__name__ == kind
            assert str(refusal.value).startswith(f"line {place}: ") and message in str(refusal.value)
            continue
        program = loads(text)
        program.check()
        if mark == "//#":
            assert words in [repr(op) for op in program.operations]
            continue
        q = "qubit q;" if "qubit q;" in text else "qubit[4] q;"
        width = 4 if "bit[4] c" in text else 2 if "bit[2] c" in text else 0
        expected = loads(f"{HEAD}{q} {f'bit[{width}] c' if width else 'bit c'};\n{words}")
        assert program == expected


@pytest.mark.parametrize("path", GOOD, ids=lambda path: path.stem)
def test_good_texts_survive_our_writer(path: Path) -> None:
    program = loads(path.read_text(encoding="utf-8"))
    again = loads(dumps(program))
    assert again == program and again.digest == program.digest


def test_mutated_texts_are_programs_or_typed_errors() -> None:
    """Characters and words dropped, doubled, swapped, taken from other texts; small limits bound the time."""
    chance = random.Random(11)
    texts = [split(path)[0] for path in CORPUS]
    words = sorted({word for text in texts for word in text.split()})
    limits = Limits(max_operations=2000)
    for _ in range(3000):
        text = chance.choice(texts)
        for _ in range(chance.randint(1, 4)):
            at = chance.randrange(len(text) + 1)
            to = min(len(text), at + chance.randint(0, 6))
            new = chance.choice(
                ["", text[at:to] * 2, chance.choice(words), chance.choice("(){}[];:=,@\n-0$\"'/*")]
            )
            text = text[:at] + new + text[to:]
        try:
            program = loads(text, limits)
        except errors.QFwError as error:
            assert str(error)
        else:
            assert isinstance(program, Program)
            try:
                program.check()
            except errors.ProgramError as error:
                assert str(error)
