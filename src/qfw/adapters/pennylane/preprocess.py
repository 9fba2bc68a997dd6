"""What PennyLane does to a tape before the stack can run it; nothing where it can run as it is."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import pennylane as qml
from pennylane.devices.default_qubit import stopping_condition
from pennylane.devices.preprocess import (
    decompose,
    device_resolve_dynamic_wires,
    null_postprocessing,
    validate_device_wires,
    validate_measurements,
)
from pennylane.measurements import ExpectationMP, MeasurementProcess
from pennylane.operation import Operator
from pennylane.ops import LinearCombination, Sum
from pennylane.pauli import diagonalize_qwc_pauli_words, is_pauli_word
from pennylane.queuing import QueuingManager
from pennylane.tape import QuantumScript
from pennylane.transforms import (
    broadcast_expand,
    convert_to_numpy_parameters,
    defer_measurements,
    split_non_commuting,
)
from pennylane.wires import Wires

from qfw.adapters.pennylane.measurements import (
    SHADOWS,
    covers_all_wires,
    is_answerable,
    is_broadcastable,
    signature,
    with_wires,
)
from qfw.adapters.pennylane.versions import SIMULATOR_GATES, CompilePipeline
from qfw.formats.pennylane_gates import NATIVE_NAMES, is_native, standard_order
from qfw.formats.pennylane_unitaries import decomposition

#: What a transform gives: tapes, and how their results become that of the first tape.
Transformed = tuple[Sequence[QuantumScript], Callable[[Sequence[Any]], Any]]


def pipeline(wires: Wires | None, name: str) -> CompilePipeline:
    """The one transform of a device: PennyLane's own ones, applied only to tapes that need them."""
    general = _general_pipeline(wires, name)

    @qml.transform  # type: ignore[untyped-decorator]
    def to_native(tape: QuantumScript) -> Transformed:
        if runs_as_it_is(tape):
            return (tape,), null_postprocessing
        tapes, postprocessing = general((tape,))
        return tapes, lambda results: postprocessing(results)[0]

    program = CompilePipeline()
    program.add_transform(to_native)
    return program


def runs_as_it_is(tape: QuantumScript) -> bool:
    """Whether every operation and measurement of a tape is one of the stack's."""
    return (
        all(map(is_native, tape.operations))
        and signature(tape.measurements, bool(tape.shots)) is not None
        and (is_broadcastable(tape.measurements) or tape.batch_size is None)
    )


def _general_pipeline(wires: Wires | None, name: str) -> CompilePipeline:
    how = {
        "stopping_condition": is_native,
        "skip_initial_state_prep": False,
        "decomposer": decomposition,
        "device_wires": wires,
        "target_gates": set(NATIVE_NAMES),
        "name": name,
    }
    program = CompilePipeline()
    program.add_transform(
        validate_measurements,
        analytic_measurements=lambda mp: is_answerable(mp, sampled=False),
        sample_measurements=lambda mp: is_answerable(mp, sampled=True),
        name=name,
    )
    program.add_transform(defer_measurements, allow_postselect=False)
    program.add_transform(_expand_broadcasting)
    if not wires:
        # PennyLane's simulators number the wires of a tape that has only their own gates.
        program.add_transform(
            decompose, stopping_condition=stopping_condition, target_gates=SIMULATOR_GATES, name=name
        )
        program.add_transform(device_resolve_dynamic_wires, wires=None, allow_resets=False)
        program.add_transform(_name_wires)
    program.add_transform(decompose, **how)
    program.add_transform(device_resolve_dynamic_wires, wires=wires, allow_resets=False)
    program.add_transform(validate_device_wires, wires, name)
    program.add_transform(_separate_loners)
    program.add_transform(_separate_bases)
    program.add_transform(_measure_in_basis)
    # The gates that rotate into a basis may be matrices.
    program.add_transform(decompose, **how)
    program.add_transform(convert_to_numpy_parameters)
    return program


@qml.transform  # type: ignore[untyped-decorator]
def _expand_broadcasting(tape: QuantumScript) -> Transformed:
    """One tape for each set of broadcast parameters, where they cannot run as sets of one task."""
    if tape.batch_size is None:
        return (tape,), null_postprocessing
    whole = all(is_native(op) or op.batch_size is None for op in tape.operations)
    if (
        whole
        and is_broadcastable(tape.measurements)
        and signature(tape.measurements, bool(tape.shots)) is not None
    ):
        return (tape,), null_postprocessing
    return broadcast_expand(tape)  # type: ignore[no-any-return]


@qml.transform  # type: ignore[untyped-decorator]
def _name_wires(tape: QuantumScript) -> Transformed:
    """Measurements of all wires name them, before a decomposition meets them in another order."""
    if not any(map(covers_all_wires, tape.measurements)):
        return (tape,), null_postprocessing
    wires = Wires(standard_order(tape))
    return (tape.copy(measurements=[with_wires(mp, wires) for mp in tape.measurements]),), null_postprocessing


@qml.transform  # type: ignore[untyped-decorator]
def _separate_loners(tape: QuantumScript) -> Transformed:
    """A tape for each sampled measurement that shares its shots with no other, and one for the rest."""
    loners = [index for index, mp in enumerate(tape.measurements) if tape.shots and _stands_alone(mp)]
    if not loners or len(tape.measurements) == 1:
        return (tape,), null_postprocessing
    others = [index for index in range(len(tape.measurements)) if index not in loners]
    groups = [[index] for index in loners] + ([others] if others else [])
    tapes = [tape.copy(measurements=[tape.measurements[index] for index in group]) for group in groups]
    partitioned = tape.shots.has_partitioned_shots

    def merge(results: Sequence[Any]) -> tuple[Any, ...]:
        merged: dict[int, Any] = {}
        for group, result in zip(groups, results, strict=True):
            merged.update(zip(group, (result,) if len(group) == 1 else result, strict=True))
        return tuple(merged[index] for index in range(len(tape.measurements)))

    def postprocessing(results: Sequence[Any]) -> Any:
        return tuple(map(merge, zip(*results, strict=True))) if partitioned else merge(results)

    return tapes, postprocessing


@qml.transform  # type: ignore[untyped-decorator]
def _separate_bases(tape: QuantumScript) -> Transformed:
    """Sampled measurements that the stack does not answer: a tape for each basis that they need."""
    if _is_answered(tape) or _stands_alone(tape.measurements[0]):
        return (tape,), null_postprocessing
    return split_non_commuting(tape)  # type: ignore[no-any-return]


@qml.transform  # type: ignore[untyped-decorator]
def _measure_in_basis(tape: QuantumScript) -> Transformed:
    """Sampled measurements in one basis: rotate into it, sample, and let PennyLane read the samples."""
    if _is_answered(tape):
        return (tape,), null_postprocessing
    asked, wires = tape.measurements, tape.wires
    rotated = tape.copy(
        operations=[*tape.operations, *_rotations([mp.obs for mp in asked if mp.obs is not None])],
        measurements=[qml.sample(wires=wires)],
    )

    def read(samples: Any) -> Any:
        values = tuple(mp.process_samples(samples, wires) for mp in asked)
        return values[0] if len(values) == 1 else values

    def postprocessing(results: Sequence[Any]) -> Any:
        return tuple(map(read, results[0])) if tape.shots.has_partitioned_shots else read(results[0])

    return (rotated,), postprocessing


def _stands_alone(mp: MeasurementProcess) -> bool:
    """Classical shadows, and what is not linear in the terms of a sum: these cannot be measured one by one."""
    if isinstance(mp, SHADOWS):
        return True
    return isinstance(mp.obs, (Sum, LinearCombination)) and not isinstance(mp, ExpectationMP)


def _is_answered(tape: QuantumScript) -> bool:
    """Whether measurements go on as they are: exact, of the stack's own, or read from the state."""
    return (
        not tape.shots
        or signature(tape.measurements, sampled=True) is not None
        or isinstance(tape.measurements[0], SHADOWS)
    )


def _rotations(observables: Sequence[Operator]) -> list[Operator]:
    """Gates into a common eigenbasis of observables that commute qubit by qubit."""
    with QueuingManager.stop_recording():
        words = [observable for observable in observables if is_pauli_word(observable)]
        gates = list(diagonalize_qwc_pauli_words(words)[0]) if words else []
        for observable in observables:
            if not is_pauli_word(observable):
                gates += observable.diagonalizing_gates()
    return gates
