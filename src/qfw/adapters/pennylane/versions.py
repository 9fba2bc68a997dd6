"""What PennyLane calls differently from version to version: the one place that knows.

Supported is what pyproject.toml says; `make test-versions` tests both ends of it.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pennylane.devices.default_qubit as default_qubit
import pennylane.transforms.core as core

#: A sequence of transforms. PennyLane before 0.44 has it as TransformProgram.
CompilePipeline = core.CompilePipeline if hasattr(core, "CompilePipeline") else core.TransformProgram

#: Names of the gates that PennyLane's own simulator runs. Before 0.45 it is ALL_DQ_GATE_SET.
SIMULATOR_GATES = (
    default_qubit.ALL_DQ_GATES if hasattr(default_qubit, "ALL_DQ_GATES") else default_qubit.ALL_DQ_GATE_SET
)


def tape_transform(dispatched: Any) -> Callable[..., Any]:
    """The function of tapes behind a transform of PennyLane's. Before 0.44 it is called `transform`."""
    found = getattr(dispatched, "tape_transform", None)
    return dispatched.transform if found is None else found  # type: ignore[no-any-return]


__all__ = ["SIMULATOR_GATES", "CompilePipeline", "tape_transform"]
