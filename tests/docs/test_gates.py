"""The table of gates in docs/guides/qpi-reference.md is that of the code."""

from __future__ import annotations

import re
from pathlib import Path

from qfw.model.gates import GATES

GUIDE = (Path(__file__).parents[2] / "docs" / "guides" / "qpi-reference.md").read_text(encoding="utf-8")


def test_every_gate_is_there_with_its_qubits_and_angles() -> None:
    found = re.search(r"^## Gates\n(.*?)^## ", GUIDE, re.DOTALL | re.MULTILINE)
    assert found
    said = []
    for line in found[1].splitlines():
        names, num_qubits, num_angles = (line.split("|") + [""] * 3)[1:4]
        if line.startswith("| `"):
            said += [(name, int(num_qubits), int(num_angles)) for name in re.findall(r"`(\w+)`", names)]
    assert sorted(said) == sorted((name, *spec) for name, spec in GATES.items())
