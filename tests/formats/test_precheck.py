"""The pre-check alone refuses these: no parser is reached, because none is called."""

from __future__ import annotations

import pytest

from qfw.formats.openqasm import loads
from qfw.formats.precheck import Limits, precheck
from qfw.model.errors import ParseError, ProgramError, TooLarge, UnsupportedFeature

HEAD = 'OPENQASM 3.0;\ninclude "stdgates.inc";\n'


def chain(length: int, leaf: str) -> str:
    """Definitions that each call the one before twice."""
    calls = "".join(f"gate g{i} a {{ g{i - 1} a; g{i - 1} a; }}\n" for i in range(1, length))
    return f"{HEAD}gate g0 a {{ {leaf} }}\n{calls}qubit q;\ng{length - 1} q;\n"


HOSTILE: dict[str, tuple[str, type[ProgramError], str]] = {
    "nested parentheses": (
        HEAD + "qubit q;\nrx(" + "(" * 200_000 + "1" + ")" * 200_000 + ") q;\n",
        TooLarge,
        "line 4:67: brackets are nested deeper than 64",
    ),
    "parentheses left open": (HEAD + "qubit q;\nrx(" + "(" * 200_000, TooLarge, "line 4:67: brackets"),
    "nested braces": (HEAD + "{" * 200_000, TooLarge, "line 3:65: brackets"),
    "include of a file": (
        'OPENQASM 2.0;\ninclude "/etc/passwd";',
        UnsupportedFeature,
        "line 2:9: include of",
    ),
    "include by a path": ("include '../qelib1.inc';", UnsupportedFeature, "line 1:9: include of"),
    "qubits": (HEAD + "qubit[1000000000] q;", TooLarge, "line 3:1: 1000000000 qubits"),
    "qubits of version 2": ("OPENQASM 2.0;\nqreg q[1000000000];", TooLarge, "line 2:1: 1000000000 qubits"),
    "qubits in many registers": (
        HEAD + "".join(f"qubit[60000] q{i};\n" for i in range(2)),
        TooLarge,
        "line 4:1: 120000 qubits",
    ),
    "classical bits": (HEAD + "bit[1000000000] c;", TooLarge, "line 3:1: 1000000000 classical bits"),
    "exponential definitions": (chain(40, "x a;"), TooLarge, "definition of 'g17' comes to 393214"),
    "exponential definitions of nothing": (chain(40, ""), TooLarge, "definition of 'g17' comes to"),
    "deep definitions": (
        HEAD + "gate g0 a { x a; }\n" + "".join(f"gate g{i} a {{ g{i - 1} a; }}\n" for i in range(1, 5000)),
        TooLarge,
        "definition of 'g64': definitions call each other more than 64 deep",
    ),
    "loop": (
        HEAD + "qubit q;\nfor int i in [0:1000000] { x q; }",
        TooLarge,
        "line 4:28: the program comes to",
    ),
    "loop without braces": (
        HEAD + "qubit q;\nfor int i in [0:1000000] x q;",
        TooLarge,
        "line 4:1: the program",
    ),
    "loops multiplied": (
        HEAD + "qubit q;\n" + "for int i in [0:2:999] { " * 20 + "x q;" + "}" * 20,
        TooLarge,
        "comes to at least",
    ),
    "loop over a set": (
        HEAD + "qubit q;\n" + "for int i in {0, 1, 2, 3, 4, 5, 6, 7, 8, 9} { " * 6 + "x q;" + "}" * 6,
        TooLarge,
        "comes to 1000000",
    ),
    "600 000 gates": (HEAD + "qubit q;\n" + "h q[0];\n" * 600_000, TooLarge, "4800047 characters"),
    "450 000 gates": (HEAD + "qubit q;\n" + "h q[0];\n" * 450_000, TooLarge, "450003 statements"),
    "broadcasts": (
        HEAD + "qubit[100000] q;\n" + "h q;\n" * 3,
        TooLarge,
        "line 5:1: the program comes to 200001",
    ),
    "a number": (HEAD + "qubit q;\nrx(" + "9" * 5000 + ") q;", TooLarge, "line 4:4: '999"),
    "a name": (HEAD + "qubit " + "a" * 5000 + ";", TooLarge, "line 3:7: 'aaa"),
    "a comment without an end": (HEAD + "/* " * 100_000, ParseError, "line 3:1: this comment does not end"),
    "a block without an end": (HEAD + "gate g a { x a;", ParseError, "line 3:10: this '{' is not closed"),
    "crossed brackets": (HEAD + "qubit[2) q;", ParseError, "line 3:8: this ')' closes nothing"),
    "long bodies": (
        HEAD + "gate g(a) q { rz(a" + "+a" * 5000 + ") q; }\nqubit q;\n" + "g(1) q;\n" * 5000,
        TooLarge,
        "the program comes to",
    ),
}


@pytest.mark.parametrize("name", HOSTILE)
def test_hostile_text_is_refused_before_any_parser(name: str) -> None:
    text, kind, message = HOSTILE[name]
    with pytest.raises(kind) as refusal:
        precheck(text)
    assert type(refusal.value) is kind
    assert message in str(refusal.value)


Q = "qubit q; bit[90] c;\n"
CONTROL: list[tuple[str, type[ProgramError], str]] = [
    (
        "const int n = 1000;\nqubit q;\nfor int i in [0:n] { for int j in [0:n] { for int k in [0:n] x q; } }",
        TooLarge,
        "line 5:22: the program comes",
    ),
    (
        "qubit q;\nint n = 1000;\nfor int i in [0:n] for int j in [0:n] for int k in [0:n] x q;",
        TooLarge,
        "the program comes",
    ),
    (
        "def f(qubit a, int n) { for int i in [0:n] for int j in [0:n] x a; }\nqubit q;\n"
        "for int i in [0:1000] f(q, 1000);",
        TooLarge,
        "the program comes",
    ),
    (
        "def f0(qubit a) { x a; }\n"
        + "".join(f"def f{i}(qubit a) {{ f{i - 1}(a); f{i - 1}(a); }}\n" for i in range(1, 40)),
        TooLarge,
        "definition of 'f17' comes to 393214",
    ),
    (
        "".join(f"def f{i}(qubit a) {{ f{i + 1}(a); f{i + 1}(a); }}\n" for i in range(39))
        + "def f39(qubit a) { x a; }\nqubit q;\nf0(q);",
        UnsupportedFeature,
        "recursion",
    ),
    (
        Q + "switch (c) {" + "".join(f"case {i} {{ }}" for i in range(1000)) + "}",
        TooLarge,
        "more than 32 deep",
    ),
    (
        Q + "switch (c) { case " + ",".join(map(str, range(1000))) + " { x q; } }",
        TooLarge,
        "too many values",
    ),
    ("qubit q;\nfor int i in {" + "1," * 1_100_000 + "1} x q;", TooLarge, "1100000 times ','"),
    ("qubit q;\n" + "@a\n" * 500_000 + "h q;", TooLarge, "500000 times '@'"),
    ("const int n = 10**9 ** 10**9;", ProgramError, "'**' has no finite value"),
    ("const int n = 1 << 10**9;", ProgramError, "a shift by 1000000000"),
    (
        "qubit[100000] q;\n" + "".join(f"let a{i} = q[0:9] ++ q[10:99999];\n" for i in range(3)),
        TooLarge,
        "line 6:5",
    ),
    (Q + "if (c[0]) " * 100 + "x q;", TooLarge, "more than 32 deep"),
    (Q + "if (true) " * 5000 + "x q;", TooLarge, "more than 64 deep"),
    (Q + "while (true) { }", TooLarge, "10000 trips"),
    (Q + "if (" + " ^ ".join(f"c[{i}]" for i in range(90)) + ") x q;", TooLarge, "too many comparisons"),
    (Q + "if (c < 562949953421311) {" + "x q;" * 20_000 + "}", TooLarge, "more than 32 deep"),
]


@pytest.mark.parametrize(
    ("text", "kind", "message"),
    [
        (HEAD + "const int n = 10**9;\nqubit[n] q;", TooLarge, "line 4:10: 1000000000 qubits"),
        (HEAD + "const int n = 10**5;\nqubit[n] q;\nh q; h q; h q;", TooLarge, "line 5:11: the program comes"),
        (
            HEAD + "const int n = 10**5;\nqubit[n] q;\n" + "barrier q;" * 10,
            TooLarge,
            "line 5:11: the program comes",
        ),
        (HEAD + "qubit q;\nrx(" + "-" * 100_000 + "1) q;", TooLarge, "line 4:4: an expression of more than 1000"),
        (HEAD + "qubit q;\nrx(9**9**9**9) q;", ProgramError, "line 4:8: '**' has no finite value"),
        *((HEAD + text, kind, message) for text, kind, message in CONTROL),
        ('OPENQASM 2.0;\ninclude "/etc/passwd"', ParseError, "line 2:1: write include"),
        (
            HEAD + "".join(f"input float a{i};\n" for i in range(300)) + "qubit q;\nrz(a0"
            + "".join(f"+a{i}" for i in range(1, 300)) + ") q;",
            TooLarge,
            "line 304:4: an angle depends on 300 inputs",
        ),
    ],
)  # fmt: skip
def test_what_only_the_parser_knows_is_bounded_too(text: str, kind: type[ProgramError], message: str) -> None:
    with pytest.raises(kind, match=r".") as refusal:
        loads(text)
    assert message in str(refusal.value)


def test_comments_and_strings_do_not_fool_it() -> None:
    inner = '"(((" /* qubit[1000000000] z; ' + "(" * 100 + ' include "/etc/passwd"; /* ' + ";" * 300_000
    text = HEAD + f"// {inner}\n/* {inner} */ qubit /* [1000000000] */ [2] // ;\nq; h q; // {{\n"
    assert precheck(text).tokens[:3] == ["OPENQASM", "3.0", ";"]
    assert len(loads(text).operations) == 2
    with pytest.raises(UnsupportedFeature, match=r"line 1:29: include"):
        precheck('/* " */ include /* \' */     "//" ; // "')
    with pytest.raises(TooLarge, match="1000000000 qubits"):
        precheck("OPENQASM 3; // /*\nqubit[1000000000] q; // */")


def test_limits_are_the_callers() -> None:
    text = HEAD + "qubit[20] q;\nh q;\n"
    precheck(text, Limits(max_operations=25))
    with pytest.raises(TooLarge, match="at most 15 are read"):
        precheck(text, Limits(max_operations=15))
    with pytest.raises(TooLarge, match="at most 19 are read"):
        precheck(text, Limits(max_bits=19))


def test_place_counts_lines_and_columns_from_one() -> None:
    source = precheck("OPENQASM 3.0;\n\n  /* a\nb */ qubit q;\n")
    assert [source.place(i) for i in (0, 3, 4)] == [(1, 1), (4, 6), (4, 12)]
    assert source.place(len(source.tokens) - 1)[0] == 5
