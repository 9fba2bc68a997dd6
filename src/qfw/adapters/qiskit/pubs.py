"""PUBs of both primitives as they may be written, read and checked.

What is wrong is said with the number of the PUB.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Mapping
from numbers import Real
from typing import Any, NamedTuple, NoReturn, TypeVar

import numpy as np
import numpy.typing as npt
from qiskit import QuantumCircuit
from qiskit.circuit import Parameter
from qiskit.exceptions import QiskitError
from qiskit.primitives.containers.bindings_array import BindingsArray
from qiskit.primitives.containers.estimator_pub import EstimatorPub
from qiskit.primitives.containers.sampler_pub import SamplerPub

from qfw.adapters.qiskit.lowering import Lowered, lower
from qfw.adapters.qiskit.observables import Observables, read_observables
from qfw.model.device import MAX_SHOTS
from qfw.model.errors import ErrorReport, OptionError, ParameterError, ProgramError, QFwError, UsageError
from qfw.model.outputs import check_shots

Floats = npt.NDArray[np.float64]
_T = TypeVar("_T")

#: With one shot nothing is known of the spread.
_LEAST_SHOTS = 2
#: So that 1/sqrt(n) is n shots, whichever way it was rounded.
_ROUNDING = 1e-12
#: The finest precision that is within MAX_SHOTS.
FINEST = MAX_SHOTS**-0.5

_FOREIGN = (TypeError, ValueError, AttributeError, OverflowError, QiskitError)


class Values(NamedTuple):
    """Values of a circuit's parameters."""

    #: Shape (sets, parameters), in the order of the circuit's free parameters; the last index of `shape` fastest.
    rows: Floats
    #: Of the array of sets.
    shape: tuple[int, ...]


_NO_VALUES = Values(np.empty((1, 0)), ())


class SamplerAsk(NamedTuple):
    """A PUB of the Sampler."""

    circuit: QuantumCircuit
    lowered: Lowered
    values: Values
    shots: int


class EstimatorAsk(NamedTuple):
    """A PUB of the Estimator."""

    circuit: QuantumCircuit
    lowered: Lowered
    observables: Observables
    values: Values
    #: Of observables and values, broadcast against each other.
    shape: tuple[int, ...]
    #: 0 for exact values.
    precision: float
    #: 0 for exact values.
    shots: int


def sampler_asks(pubs: Any, shots: Any) -> list[SamplerAsk]:
    """The PUBs of `Sampler.run`.

    Args:
        pubs: SamplerPub, circuit, (circuit,), (circuit, values) or (circuit, values, shots), each.
        shots: of the PUBs that do not say theirs.

    Raises:
        UsageError: not a list of PUBs.
        ProgramError: no circuit in it, or one that no device runs.
        ParameterError: not as many values as parameters; complex values.
        OptionError: shots out of range.
    """
    asked = check_positive_shots(shots)
    return _each(pubs, "Sampler", lambda pub: _sampler_ask(pub, asked))


def estimator_asks(pubs: Any, precision: Any) -> list[EstimatorAsk]:
    """The PUBs of `Estimator.run`.

    Args:
        pubs: EstimatorPub, (circuit, observables), (circuit, observables, values) or
            (circuit, observables, values, precision), each.
        precision: of the PUBs that do not say theirs; 0 for exact values.

    Raises:
        UsageError: not a list of PUBs.
        ProgramError: no circuit in it, or one that no device runs; observables that cannot be read, are not
            Hermitian, of another width than the circuit, or do not broadcast with the values.
        ParameterError: not as many values as parameters; complex values.
        OptionError: precision out of range.
    """
    asked = check_precision(precision)
    read = _known_observables()
    return _each(pubs, "Estimator", lambda pub: _estimator_ask(pub, asked, read))


def check_positive_shots(shots: Any) -> int:
    """`shots` as an int. Raises OptionError: not an integer from 1 to MAX_SHOTS."""
    if shots is None or isinstance(shots, float) or (isinstance(shots, int) and not 1 <= shots <= MAX_SHOTS):
        raise OptionError(f"shots must be an integer from 1 to {MAX_SHOTS}, not {shots!r}")
    found = check_shots(shots)
    if not found:
        raise OptionError(f"shots must be an integer from 1 to {MAX_SHOTS}, not 0")
    return found


def check_precision(precision: Any) -> float:
    """`precision` as a float. Raises OptionError: neither 0 nor within FINEST and infinity."""
    if isinstance(precision, bool) or not isinstance(precision, Real):
        raise OptionError(f"precision must be a real number, not {precision!r}; 0 gives exact values")
    found = float(precision)
    if not 0 <= found < math.inf:
        raise OptionError(
            f"precision must be finite and not negative, not {precision!r}; 0 gives exact values"
        )
    if 0 < found < FINEST * (1 - _ROUNDING):
        raise OptionError(
            f"precision {precision!r} needs more than {MAX_SHOTS} shots; give {FINEST:g} or more, or 0 for exact values"
        )
    return found


def shots_for(precision: float) -> int:
    """Shots that give `precision`: 1/precision², rounded up, at least 2; 0 for exact values.

    The standard error of one Pauli word is then at most `precision`; that of a sum at most `precision` times
    the sum of its coefficients' magnitudes.
    """
    if not precision:
        return 0
    return max(_LEAST_SHOTS, math.ceil(1 / precision**2 * (1 - _ROUNDING)))


def with_number(error: QFwError, number: int, pubs: int) -> QFwError:
    """`error` with the PUB's number in front of its message."""
    report = ErrorReport.of(error)
    message = f"PUB {number} of {pubs} (counted from 0): {report.message}"
    found = ErrorReport(report.code, message, report.retry_after_s).to_exception()
    found.__cause__ = error
    return found


def _each(pubs: Any, primitive: str, read: Callable[[Any], _T]) -> list[_T]:
    if isinstance(pubs, (QuantumCircuit, SamplerPub, EstimatorPub, str, Mapping)) or not isinstance(
        pubs, Iterable
    ):
        raise UsageError(
            f"{primitive}.run takes a list of PUBs, not {type(pubs).__name__}; write run([...]) for one PUB too"
        )
    given = list(pubs)
    asks = []
    for number, pub in enumerate(given):
        try:
            asks.append(read(pub))
        except QFwError as error:
            raise with_number(error, number, len(given)) from error
    return asks


def _sampler_ask(pub: Any, shots: int) -> SamplerAsk:
    if isinstance(pub, SamplerPub):
        fields: tuple[Any, ...] = (pub.circuit, pub.parameter_values, pub.shots)
    elif isinstance(pub, QuantumCircuit):
        fields = (pub, None, None)
    else:
        fields = _fields(pub, 1, 3, "a circuit, (circuit, values) or (circuit, values, shots)")
    circuit, values, own = fields
    _check_circuit(circuit)
    lowered = lower(circuit)
    asked = shots if own is None else check_positive_shots(own)
    return SamplerAsk(circuit, lowered, _values(circuit, lowered.parameters, values), asked)


def _known_observables() -> Callable[[Any, int], Observables]:
    """`read_observables`, but of an object that several PUBs of a call have once only."""
    known: dict[tuple[int, int], tuple[Any, Observables]] = {}

    def read(given: Any, num_qubits: int) -> Observables:
        key = (id(given), num_qubits)
        if key not in known:
            # With the object itself: as long as it lives no other has its id.
            known[key] = (given, read_observables(given, num_qubits))
        return known[key][1]

    return read


def _estimator_ask(pub: Any, precision: float, read: Callable[[Any, int], Observables]) -> EstimatorAsk:
    if isinstance(pub, EstimatorPub):
        fields: tuple[Any, ...] = (pub.circuit, pub.observables, pub.parameter_values, pub.precision)
    else:
        form = "(circuit, observables), (circuit, observables, values) or (circuit, observables, values, precision)"
        fields = _fields(pub, 2, 4, form)
    circuit, observables, values, own = fields
    _check_circuit(circuit)
    lowered = lower(circuit)
    asked, found = read(observables, circuit.num_qubits), _values(circuit, lowered.parameters, values)
    try:
        shape = np.broadcast_shapes(asked.shape, found.shape)
    except ValueError as error:
        raise ProgramError(
            f"observables of shape {asked.shape} and parameter sets of shape {found.shape} do not broadcast: counted "
            "from the right, sizes must agree or be 1"
        ) from error
    target = precision if own is None else check_precision(own)
    return EstimatorAsk(circuit, lowered, asked, found, shape, target, shots_for(target))


def _fields(pub: Any, least: int, most: int, form: str) -> tuple[Any, ...]:
    if isinstance(pub, (QuantumCircuit, str, Mapping)) or not isinstance(pub, Iterable):
        raise UsageError(
            f"a PUB is {form}, not {type(pub).__name__}; run() takes a list of PUBs: run([...]) for one too"
        )
    fields = tuple(pub)
    if not least <= len(fields) <= most:
        raise UsageError(f"a PUB is {form}; this one has {len(fields)} entries")
    return fields + (None,) * (most - len(fields))


def _check_circuit(circuit: Any) -> None:
    if not isinstance(circuit, QuantumCircuit):
        raise ProgramError(
            f"a PUB begins with a QuantumCircuit, not {type(circuit).__name__}; run() takes a list of PUBs: "
            "run([...]) for one too"
        )


def _values(circuit: QuantumCircuit, parameters: tuple[Parameter, ...], given: Any) -> Values:
    """`parameters`: the free ones of the circuit, in its order."""
    if given is None and not parameters:
        return _NO_VALUES
    try:
        bindings = _bindings(parameters, given)
        if bindings.num_parameters != len(parameters):
            _wrong_number(circuit, parameters, bindings.num_parameters)
        rows = bindings.as_array(parameters)
    except ParameterError:
        raise
    except _FOREIGN as error:
        raise ParameterError(f"parameter values of circuit {circuit.name!r}: {error}") from error
    sets = math.prod(bindings.shape)
    return Values(np.ascontiguousarray(rows, dtype=np.float64).reshape(sets, len(parameters)), bindings.shape)


def _bindings(parameters: tuple[Parameter, ...], given: Any) -> BindingsArray:
    if given is None:
        return BindingsArray()
    if isinstance(given, BindingsArray):
        return given
    if isinstance(given, Mapping):
        return BindingsArray({key: _not_complex(value) for key, value in given.items()})
    return BindingsArray({parameters: _not_complex(given)})


def _not_complex(given: Any) -> npt.NDArray[Any]:
    # Qiskit would drop imaginary parts with no more than a warning.
    found = np.asarray(given)
    if np.iscomplexobj(found):
        raise ParameterError("parameter values must be real numbers; complex ones were given")
    return found


def _wrong_number(circuit: QuantumCircuit, parameters: tuple[Parameter, ...], given: int) -> NoReturn:
    names = ", ".join(parameter.name for parameter in parameters) or "none"
    raise ParameterError(
        f"circuit {circuit.name!r} has {len(parameters)} parameters ({names}); values for {given} were given. A PUB is "
        "(circuit, values, ...) in a list: run([(circuit, values)])"
    )
