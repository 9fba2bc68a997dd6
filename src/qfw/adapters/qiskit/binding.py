"""Values for the parameters of circuits, as `Backend.run` takes them."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import numpy.typing as npt
from qiskit import QuantumCircuit
from qiskit.circuit import Parameter, ParameterVector
from qiskit.primitives.containers.bindings_array import BindingsArray

from qfw.model.errors import OptionError, ParameterError

Floats = npt.NDArray[np.float64]

_NONE = np.empty((1, 0))


def for_each(circuits: Sequence[QuantumCircuit], given: Any, name: str, alone: bool) -> Sequence[Any]:
    """The values of each circuit.

    Args:
        circuits: of the call.
        given: the option's value.
        name: of the option.
        alone: whether one circuit was given, not a list; then its values need be in no list.

    Raises:
        OptionError: not one entry for each circuit.
    """
    if given is None:
        return [None] * len(circuits)
    if alone and name == "bindings":
        return [given]
    if isinstance(given, (Mapping, str)) or not isinstance(given, Sequence | np.ndarray):
        raise OptionError(f"{name} must be a list with an entry for each circuit, not {given!r:.80}")
    if len(given) != len(circuits):
        raise OptionError(f"{name} has {len(given)} entries; {len(circuits)} circuits were given")
    return list(given)


def values_of(circuit: QuantumCircuit, parameters: Sequence[Parameter], given: Any) -> Any:
    """Values of a circuit's parameters, shape (sets, parameters).

    Args:
        circuit: whose parameters they are.
        parameters: its free ones, in its order.
        given: a dict of values or lists of values by Parameter, ParameterVector or name; an array of shape
            (parameters,) or (..., parameters); a BindingsArray; None where there are none.

    Raises:
        ParameterError: parameters without values, which it names, or of another circuit; wrong shapes.
    """
    if not parameters and (given is None or (isinstance(given, Mapping) and not given)):
        return _NONE
    if given is None:
        raise ParameterError(
            f"circuit {circuit.name!r} has parameters without values: {_names(parameters)}. Give them to run() as "
            "parameter_binds or bindings, or use assign_parameters"
        )
    if isinstance(given, BindingsArray):
        try:
            return given.as_array(parameters).reshape(math.prod(given.shape), len(parameters))
        except ValueError as error:
            raise ParameterError(f"bindings of circuit {circuit.name!r}: {error}") from error
    if isinstance(given, Mapping):
        return _columns(circuit, parameters, given)
    found = _array(circuit, given)
    if found.ndim == 0 or found.shape[-1] != len(parameters):
        raise ParameterError(
            f"circuit {circuit.name!r} has {len(parameters)} parameters; bindings of shape {found.shape} were given, "
            f"(sets, {len(parameters)}) are needed"
        )
    return found.reshape(math.prod(found.shape[:-1]), len(parameters))


def _columns(circuit: QuantumCircuit, parameters: Sequence[Parameter], given: Mapping[Any, Any]) -> Any:
    by_name: dict[str, Any] = {}
    own = {parameter.name: parameter for parameter in parameters}
    for key, value in given.items():
        if isinstance(key, ParameterVector):
            by_name.update(_elements(circuit, own, key, value))
            continue
        name = key.name if isinstance(key, Parameter) else key
        if name not in own or (isinstance(key, Parameter) and own[name] != key):
            raise _unknown(circuit, name, own)
        by_name[name] = value
    if missing := [name for name in own if name not in by_name]:
        raise ParameterError(f"circuit {circuit.name!r} has parameters without values: {', '.join(missing)}")
    try:
        return np.stack(np.broadcast_arrays(*(np.atleast_1d(by_name[name]) for name in own)), axis=-1)
    except ValueError as error:
        raise ParameterError(
            f"values of circuit {circuit.name!r}: all parameters need equally many: {error}"
        ) from error


def _elements(
    circuit: QuantumCircuit, own: Mapping[str, Parameter], vector: ParameterVector, value: Any
) -> dict[str, Any]:
    """Values of a vector's elements by name; the circuit may use some of these only."""
    if not any(own.get(element.name) == element for element in vector):
        raise _unknown(circuit, vector.name, own)
    found = _array(circuit, value)
    if found.ndim == 0 or found.shape[-1] != len(vector):
        raise ParameterError(
            f"vector {vector.name!r} has {len(vector)} elements; values of shape {found.shape} were given, "
            f"(sets, {len(vector)}) are needed"
        )
    return {element.name: found[..., index] for index, element in enumerate(vector)}


def _array(circuit: QuantumCircuit, given: Any) -> npt.NDArray[Any]:
    try:
        return np.asarray(given)
    except ValueError as error:
        raise ParameterError(
            f"the values for circuit {circuit.name!r} are no array; each set needs equally many: {error}"
        ) from error


def _unknown(circuit: QuantumCircuit, name: object, own: Mapping[str, Parameter]) -> ParameterError:
    return ParameterError(
        f"circuit {circuit.name!r} has no parameter {str(name)!r}; it has: {_names(own.values())}"
    )


def _names(parameters: Any) -> str:
    return ", ".join(parameter.name for parameter in parameters) or "none"
