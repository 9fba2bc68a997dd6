"""The frame of a QIR module: its entry point, what that declares, its calls and its blocks."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence

from qfw.formats.qir_flow import Flow, flow
from qfw.formats.qir_text import Function, Instruction, Module, arguments, unquoted
from qfw.model.errors import ParseError, TooLarge, UnsupportedFeature

#: Qubits, and separately results, that a module may declare or name.
MAX_BITS = 100_000
#: Operations of the program, those of nested blocks included.
MAX_OPERATIONS = 200_000
#: Blocks of one function: where they meet is looked for before anything is followed.
MAX_BLOCKS = 20_000


def entry(module: Module) -> Function:
    """The one function that is marked as entry point."""
    marked = [
        function
        for function in module.functions.values()
        if {"entry_point", "EntryPoint"} & module.attributes(function).keys()
    ]
    if len(marked) == 1:
        return marked[0]
    if not marked:
        raise ParseError('no function has the attribute "entry_point"')
    raise UnsupportedFeature(
        f"{len(marked)} functions are entry points: {', '.join(function.name for function in marked[:5])}; "
        "a program has one"
    )


def check_calls(module: Module, entry: Function) -> None:
    """Raises for recursion, and where the functions' calls multiply to too much."""
    called: dict[str, list[str]] = {}

    def callees(function: Function) -> list[str]:
        return [
            unquoted(found[1])
            for block in function.blocks.values()
            for instruction in block
            if instruction.opcode == "call"
            and (found := CALL.match(instruction.rest)) is not None
            and unquoted(found[1]) in module.functions
        ]

    costs: dict[str, int] = {}
    called[entry.name] = callees(entry)
    stack = [(entry.name, iter(called[entry.name]))]
    inside = {entry.name}
    while stack:
        name, following = stack[-1]
        for target in following:
            if target in inside:
                raise UnsupportedFeature(f"function {target} calls itself: recursion is not read")
            if target not in costs:
                called[target] = callees(module.functions[target])
                inside.add(target)
                stack.append((target, iter(called[target])))
                break
        else:
            own = sum(map(len, module.functions[name].blocks.values()))
            costs[name] = own + sum(costs[target] for target in called[name])
            if costs[name] > 2 * MAX_OPERATIONS:
                raise TooLarge(
                    f"function {name} comes to more than {2 * MAX_OPERATIONS} instructions, its calls entered"
                )
            inside.remove(name)
            stack.pop()


def flow_of(function: Function) -> Flow | None:
    """The flow of a function, each of whose blocks has to lead somewhere."""
    if len(function.blocks) > MAX_BLOCKS:
        raise TooLarge(
            f"line {function.line}: {function.name} has {len(function.blocks)} blocks; at most {MAX_BLOCKS} are read. "
            "Divide it into functions"
        )
    successors: dict[str, list[str]] = {}
    for label, block in function.blocks.items():
        if not block or block[-1].opcode not in ("br", "ret", "switch", "unreachable"):
            raise ParseError(f"block {label} of {function.name} has no end", function.line, 1)
        last = block[-1]
        later = False
        for instruction in block:
            if instruction.opcode != "phi":
                later = True
            elif later:
                raise ParseError("a phi stands behind other instructions", instruction.line, 1)
        targets = [unquoted(target) for target in TARGET.findall(last.rest)] if last.opcode != "ret" else []
        form = _FORMS.get(last.opcode)
        if form is not None and form.fullmatch(last.rest) is None:
            raise ParseError(f"{last.opcode} {last.rest[:40]} leads nowhere", last.line, 1)
        for target in targets:
            if target not in function.blocks:
                raise ParseError(f"block {target} is not in {function.name}", last.line, 1)
        successors[label] = targets
    return flow(next(iter(function.blocks)), successors)


def declared(attributes: Mapping[str, str], keys: Sequence[str], what: str) -> int | None:
    """How many qubits or results the entry point declares; None where it does not say."""
    for key in keys:
        if key in attributes:
            text = attributes[key]
            if not text.isdecimal() or not text.isascii():
                raise ParseError(f"{key} is {text[:40]!r}, not a number")
            if len(text) > 9 or int(text) > MAX_BITS:
                raise TooLarge(f"the entry point requires {text[:20]} {what}; at most {MAX_BITS} are read")
            return int(text)
    return None


def phi(instruction: Instruction) -> tuple[str, dict[str, str]]:
    """Type of a phi, and block before -> text of the value."""
    head, _, rest = instruction.rest.partition("[")
    if instruction.result is None or not head.split():
        raise ParseError("phi without a result or type", instruction.line, 1)
    sources: dict[str, str] = {}
    for part in arguments("[" + rest, instruction.line):
        value, _, label = part.strip("[] ").rpartition(",")
        sources[unquoted(label.strip())] = value.strip()
    return head.split()[-1], sources


#: The name and the arguments of a call.
CALL = re.compile(r'[^@(]*@("[^"]*"|[-\w.$]+)\s*\((.*)\)[^()]*$', re.DOTALL)
#: A label that is gone to.
TARGET = re.compile(r'label\s+%("[^"]*"|[-\w.$]+)')
#: A case of a switch: type, number, label.
CASE = re.compile(r'(i\d+)\s+(-?\d+|true|false)\s*,\s*label\s+%("[^"]*"|[-\w.$]+)')
_LABEL = r'label\s+%(?:"[^"]*"|[-\w.$]+)'
#: How branches are written.
_FORMS = {
    "br": re.compile(rf"{_LABEL}|i1\s+\S+\s*,\s*{_LABEL}\s*,\s*{_LABEL}"),
    "switch": re.compile(
        rf"i\d+\s+\S+\s*,\s*{_LABEL}\s*\[(?:\s*i\d+\s+(?:-?\d+|true|false)\s*,\s*{_LABEL})*\s*\]"
    ),
}
