"""PennyLane's parameter shift, without the decomposition that comes before it where it would change nothing."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, get_type_hints

import pennylane as qml
from pennylane.devices.preprocess import null_postprocessing
from pennylane.gradients import param_shift
from pennylane.tape import QuantumScript

from qfw.adapters.pennylane.versions import tape_transform
from qfw.formats.pennylane_gates import is_native


def _expand(tape: QuantumScript, **options: Any) -> tuple[Sequence[QuantumScript], Callable[..., Any]]:
    """PennyLane's own step unless every operation has shift rules and no observable has numbers."""
    if all(
        is_native(operation) and (not operation.data or operation.grad_method is not None)
        for operation in tape.operations
    ) and all(mp.obs is None or not mp.obs.data for mp in tape.measurements):
        return (tape,), null_postprocessing
    return param_shift.expand_transform(tape, **options)  # type: ignore[no-any-return]


# PennyLane before 0.44 insists on the same annotations.
_expand.__annotations__ = get_type_hints(tape_transform(param_shift))

#: Stands for `qml.gradients.param_shift` in the execution of a QNode: the same tapes, found sooner.
parameter_shift = qml.transform(
    tape_transform(param_shift),
    expand_transform=_expand,
    classical_cotransform=param_shift.classical_cotransform,
    final_transform=True,
)
