"""The functions that QIR calls for gates, and which gates they are: the one table of reader and writer."""

from __future__ import annotations

from typing import Final

QIS: Final = "__quantum__qis__"
RT: Final = "__quantum__rt__"

#: Gate -> the function that it is written as, without its prefix. Angles come before qubits.
WRITTEN: Final[dict[str, str]] = {
    "x": "x__body",
    "y": "y__body",
    "z": "z__body",
    "h": "h__body",
    "s": "s__body",
    "sdg": "s__adj",
    "t": "t__body",
    "tdg": "t__adj",
    "rx": "rx__body",
    "ry": "ry__body",
    "rz": "rz__body",
    "cx": "cnot__body",
    "cy": "cy__body",
    "cz": "cz__body",
    "swap": "swap__body",
    "rxx": "rxx__body",
    "ryy": "ryy__body",
    "rzz": "rzz__body",
    "ccx": "ccx__body",
}

#: Function -> gate that it is.
GATE_OF: Final[dict[str, str]] = {QIS + function: gate for gate, function in WRITTEN.items()} | {
    QIS + function: gate
    for function, gate in {
        "i__body": "id",
        "id__body": "id",
        "cx__body": "cx",
        "ccnot__body": "ccx",
        "toffoli__body": "ccx",
        "sx__body": "sx",
        "sx__adj": "sxdg",
        "s_adj__body": "sdg",
        "t_adj__body": "tdg",
        "sdg__body": "sdg",
        "tdg__body": "tdg",
        "r1__body": "p",
        "p__body": "p",
    }.items()
}

MEASURE: Final = frozenset({QIS + "mz__body", QIS + "m__body"})
MEASURE_AND_RESET: Final = QIS + "mresetz__body"
RESET: Final = QIS + "reset__body"
BARRIER: Final = QIS + "barrier__body"
READ: Final = frozenset({RT + "read_result", QIS + "read_result__body", RT + "read_result__body"})
RECORD_RESULT: Final = RT + "result_record_output"
RECORD_BOOL: Final = RT + "bool_record_output"
#: What frames the records, or has nothing to do where nothing is allocated.
WITHOUT_EFFECT: Final = frozenset(
    {RT + "initialize", RT + "array_record_output", RT + "tuple_record_output"}
    | {RT + f"{what}_record_{where}_output" for what in ("array", "tuple") for where in ("start", "end")}
    | {RT + "result_update_reference_count"}
)
