"""QIR that is wrong, too much or made to harm is refused, and says why."""

from __future__ import annotations

import random
from pathlib import Path

import pytest

from qfw.formats import qir, qir_bitcode
from qfw.model import errors
from qfw.model.errors import ParseError, ProgramError, TooLarge
from qfw.model.program import Gate, Measure, Program

CORPUS = Path(__file__).parent.parent / "corpus" / "qir"
HEAD = 'define void @main() "entry_point" "required_num_qubits"="2" "required_num_results"="2" {\n'


def bell() -> bytes:
    program = Program(2, 2, 0, (Gate("h", (0,)), Gate("cx", (0, 1)), Measure(0, 0), Measure(1, 1)))
    written = qir.dumps(program, form="bitcode")
    assert isinstance(written, bytes)
    return written


@pytest.mark.parametrize("path", sorted(CORPUS.glob("bad_*.ll")), ids=lambda path: path.stem)
def test_bad_texts_are_refused_by_name(path: Path) -> None:
    text = path.read_text()
    kind, words = text.split("expect:", 1)[1].split("\n", 1)[0].strip().split(": ", 1)
    with pytest.raises(ProgramError) as caught:
        qir.loads(text)
    assert type(caught.value) is getattr(errors, kind)
    assert words in str(caught.value)


@pytest.mark.parametrize(
    "text",
    [
        "%T = type " + "{" * 300_000 + "}" * 300_000,
        HEAD + "  call void @f(ptr " + "(" * 300_000 + ")" * 300_000 + ")\n  ret void\n}\n",
        HEAD + "  call void @f(" + "(\n" * 300_000,
        HEAD + "  %x = add i64 " + "9" * 19_000 + ", 1\n  ret void\n}\n",
        HEAD + "  ret void\n" * 500_000 + "}\n",
        HEAD + "  call void @__quantum__qis__rx__body(double " + "0x" + "F" * 9_000 + ", ptr null)\n",
        "x" * 17_000_000,
        "define " * 100_000,
        HEAD + "".join(f"  br label %b{i}\nb{i}:\n" for i in range(20_001)) + "  ret void\n}\n",
        "\0" * 100,
        "",
    ],
    ids=[
        "types",
        "brackets",
        "lines",
        "digits",
        "many",
        "double",
        "long",
        "heads",
        "blocks",
        "zeros",
        "nothing",
    ],
)
def test_hostile_texts_are_refused(text: str) -> None:
    with pytest.raises((ParseError, TooLarge)):
        qir.loads(text)


def test_damaged_texts_are_read_or_refused() -> None:
    rng = random.Random(7)
    texts = [path.read_text() for path in sorted(CORPUS.glob("*.ll")) if "doubling" not in path.stem]
    refused = 0
    for _ in range(400):
        text = rng.choice(texts)
        at = rng.randrange(len(text))
        cut = rng.choice(["", "(", ")", "{", "}", "%", '"', ",", "\n", "i64", " -1", "label"])
        text = text[:at] + cut + text[at + rng.randrange(4) :]
        try:
            qir.loads(text).check()
        except ProgramError:
            refused += 1
    assert refused > 80


def test_damaged_bitcode_is_read_or_refused() -> None:
    rng = random.Random(11)
    whole = bell()
    refused = 0
    for _ in range(12):
        damaged = bytearray(whole)
        for _ in range(3):
            damaged[rng.randrange(40, len(damaged))] = rng.randrange(256)
        try:
            qir.loads(bytes(damaged)).check()
        except ProgramError:
            refused += 1
    assert refused > 3


@pytest.mark.parametrize(
    "bitcode",
    [
        b"BC",
        b"BC\xc0\xde",
        b"BC\xc0\xde\x00\x00\x00\x00",
        b"BC\xc0\xde\xff\xff\xff\xff",
        b"\xde\xc0\x17\x0b" + b"\xff" * 16,
        b"BC\xc0\xde" + b"\x35\x14\x00\x00\xff\xff\xff\x7f",
        b"\xff\xfe\x00",
    ],
)
def test_what_is_no_bitcode_is_refused_before_llvm(bitcode: bytes) -> None:
    with pytest.raises(ParseError):
        qir.loads(bitcode)


def test_truncated_bitcode_is_refused() -> None:
    whole = bell()
    for size in range(4, len(whole), 400):
        with pytest.raises(ParseError):
            qir.loads(whole[:size])


def test_too_much_bitcode_is_refused() -> None:
    with pytest.raises(TooLarge, match="bytes"):
        qir_bitcode.to_text(b"BC\xc0\xde" + bytes(qir_bitcode.MAX_BYTES))
