"""Whether a program is made of what a device runs without lowering."""

from __future__ import annotations

from qfw.model.device import DeviceProfile
from qfw.model.errors import TooLarge, UnsupportedFeature
from qfw.model.program import Program

#: Gates that are the same with their qubits exchanged.
SYMMETRIC = frozenset({"cz", "cp", "swap", "iswap", "rxx", "ryy", "rzz", "ccz"})

_LOWER = (
    "Have it lowered for the device: by a pipeline (device.stream(pipeline=qfw.ToolPipeline(['transpile']))), or of a "
    "Qiskit circuit by qiskit.transpile(circuit, Backend({!r}))"
)


def check_native(program: Program, profile: DeviceProfile) -> None:
    """Raises unless the device runs the program as it is.

    Raises:
        TooLarge: more qubits than the device has.
        UnsupportedFeature: a gate that is not native, a pair that is not coupled, or control that it lacks.
    """
    if program.num_qubits > profile.max_qubits:
        raise TooLarge(
            f"the program needs {program.num_qubits} qubits; {profile.name} has {profile.max_qubits}. "
            "Use fewer qubits or a larger device"
        )
    if program.has_control and not profile.control:
        raise UnsupportedFeature(
            f"the program measures, resets or branches before its end; device {profile.name} does not"
        )
    if not profile.lowered_only:
        return
    natives = frozenset((*profile.native_gates, "gphase"))
    pairs = None if profile.coupling is None else frozenset(profile.coupling)
    for gate in program.gates():
        if gate.name not in natives:
            raise UnsupportedFeature(
                f"gate {gate.name} on qubits {gate.qubits} is not native to {profile.name}, which has "
                f"{', '.join(profile.native_gates)}. {_LOWER.format(profile.name)}"
            )
        if pairs is None or len(gate.qubits) < 2 or gate.qubits in pairs:
            continue
        if gate.name not in SYMMETRIC or gate.qubits[::-1] not in pairs:
            raise UnsupportedFeature(
                f"{gate.name} on qubits {gate.qubits}: {profile.name} does not couple them in this order. "
                f"{_LOWER.format(profile.name)}"
            )
