"""Ways of branches cost what they change: a mapping over another one, and readers that never copy what is known."""

from __future__ import annotations

import random

import pytest

from qfw.formats.qir_layers import Layer
from qfw.formats.qir_reader import read
from qfw.model.program import IfElse


def test_as_a_dict_that_was_copied() -> None:
    rng = random.Random(4)
    layer: Layer[int, int] = Layer({1: -1, 40: -2})
    copied = {1: -1, 40: -2}
    for value in range(400):
        if value % 40 == 39:
            layer = Layer(layer)
        key = rng.randrange(60)
        layer[key] = copied[key] = value
        probe = rng.randrange(60)
        assert (probe in layer) == (probe in copied) and layer.get(probe) == copied.get(probe)
    assert layer.flat() == dict(layer) == copied and len(layer) == len(copied)
    with pytest.raises(KeyError):
        layer[1000]


def test_what_is_beneath_stays() -> None:
    under: Layer[str, int] = Layer({"a": 1})
    over = Layer(under)
    over["a"] = 2
    assert (under["a"], over["a"], over.own) == (1, 2, {"a": 2})


def test_measured_branches_in_a_row(monkeypatch: pytest.MonkeyPatch) -> None:
    """Thousands of them, whose values and bits nobody copies for each."""
    flattened = []
    flat = Layer.flat
    monkeypatch.setattr(Layer, "flat", lambda self: flattened.append(self) or flat(self))
    count = 2000
    lines = ["define void @main() #0 {", "entry:"]
    for i in range(count):
        bit = f"ptr inttoptr (i64 {i} to ptr)"
        lines += [
            f"  call void @__quantum__qis__mz__body(ptr null, {bit})",
            f"  %c{i} = call i1 @__quantum__rt__read_result({bit})",
            f"  br i1 %c{i}, label %t{i}, label %e{i}",
            f"t{i}:",
            "  call void @__quantum__qis__x__body(ptr null)",
            f"  br label %e{i}",
            f"e{i}:",
        ]
    lines += ["  ret void", "}"]
    lines += [
        "declare void @__quantum__qis__x__body(ptr)",
        "declare void @__quantum__qis__mz__body(ptr, ptr)",
    ]
    lines += [
        "declare i1 @__quantum__rt__read_result(ptr)",
        f'attributes #0 = {{ "entry_point" "required_num_qubits"="1" "required_num_results"="{count}" }}',
    ]
    program = read("\n".join(lines))
    branches = [op for op in program.operations if isinstance(op, IfElse)]
    assert [branch.clbits for branch in branches] == [(i,) for i in range(count)]
    assert not flattened
