"""The gates of the normal form: name, number of qubits, number of angles.

Names and matrices are those of OpenQASM 3's standard library where it has them.
For a controlled gate the control comes first. Angles are in radians.

    u(θ, φ, λ)   OpenQASM's: [[cos θ/2, -e^{iλ} sin θ/2], [e^{iφ} sin θ/2, e^{i(φ+λ)} cos θ/2]]
    p(λ)         diag(1, e^{iλ})
    rzz(θ)       exp(-i θ/2 Z⊗Z), likewise rxx, ryy
    cu(θ,φ,λ,γ)  controlled e^{iγ} u(θ, φ, λ)
    iswap        swap with a phase i on the exchanged states
    ecr          exp(-i π/4 Z⊗X), then x on the first qubit: (X⊗I - Y⊗X) / √2, the echoed cross-resonance gate
"""

from __future__ import annotations

from typing import NamedTuple


class GateSpec(NamedTuple):
    """Arity of a gate."""

    num_qubits: int
    num_angles: int


GATES: dict[str, GateSpec] = {
    **{name: GateSpec(1, 0) for name in ("id", "x", "y", "z", "h", "s", "sdg", "t", "tdg", "sx", "sxdg")},
    **{name: GateSpec(1, 1) for name in ("rx", "ry", "rz", "p")},
    "u": GateSpec(1, 3),
    **{name: GateSpec(2, 0) for name in ("cx", "cy", "cz", "ch", "csx", "swap", "iswap", "ecr")},
    **{name: GateSpec(2, 1) for name in ("cp", "crx", "cry", "crz", "rxx", "ryy", "rzz")},
    "cu": GateSpec(2, 4),
    **{name: GateSpec(3, 0) for name in ("ccx", "ccz", "cswap")},
    #: A phase of the whole state, e^{iγ}; on no qubit.
    "gphase": GateSpec(0, 1),
}
