"""The options of `Backend.run`, checked."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, NamedTuple

import numpy as np
from qiskit.providers import Options

from qfw.model.errors import OptionError
from qfw.model.outputs import check_shots
from qfw.model.seeds import check_seed
from qfw.qpm import registry

#: With their defaults; a backend's own are `Backend.options`.
DEFAULTS: dict[str, Any] = {
    "shots": 1024,
    "seed": None,
    "seed_simulator": None,
    "memory": False,
    "meas_level": 2,
    "meas_return": None,
}
#: Of one call only.
VALUES = ("parameter_binds", "bindings")


class RunOptions(NamedTuple):
    """What a call of `Backend.run` asks besides its circuits."""

    #: None: exact states.
    shots: int | None
    seed: int | None
    memory: bool
    #: Aer's form: for each circuit a dict of lists of values.
    parameter_binds: Any
    #: For each circuit a dict or an array of values.
    bindings: Any


def run_options(given: Mapping[str, Any], defaults: Options) -> RunOptions:
    """The options of a call; those that it does not name are the backend's.

    Raises:
        OptionError: an unknown option, which names the nearest; a value out of its range.
    """
    for name in given:
        if name not in DEFAULTS and name not in VALUES:
            raise OptionError(registry.unknown("option of run()", name, [*DEFAULTS, *VALUES]))

    def value(name: str) -> Any:
        return given[name] if name in given else getattr(defaults, name)

    shots, memory = value("shots"), value("memory")
    if shots is not None:
        shots = check_shots(shots)
        if not shots:
            raise OptionError("shots must be at least 1; shots=None gives exact states")
    if not isinstance(memory, (bool, np.bool_)):
        raise OptionError(f"memory must be True or False, not {memory!r}")
    if memory and shots is None:
        raise OptionError("memory needs shots; shots=None gives exact states")
    # `2` is Qiskit's MeasLevel.CLASSIFIED, which compares equal.
    if value("meas_level") not in (None, 2):
        raise OptionError(f"meas_level must be 2 (classified), not {value('meas_level')!r}")
    if value("meas_return") not in (None, "single"):
        raise OptionError(f"meas_return must be 'single', not {value('meas_return')!r}")
    binds, bindings = given.get("parameter_binds"), given.get("bindings")
    if binds is not None and bindings is not None:
        raise OptionError("give parameter_binds or bindings, not both")
    return RunOptions(shots, _seed(given, value), bool(memory), binds, bindings)


def _seed(given: Mapping[str, Any], value: Any) -> int | None:
    """The seed by either name; what the call says goes before what the backend says."""
    for source in (given.get, value):
        seed, simulator = source("seed"), source("seed_simulator")
        if seed is not None and simulator is not None and seed != simulator:
            raise OptionError(f"seed {seed!r} and seed_simulator {simulator!r} are two names of one option")
        if seed is not None or simulator is not None:
            return check_seed(simulator if seed is None else seed)
    return None
