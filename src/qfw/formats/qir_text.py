"""QIR text cut into functions, blocks and instructions: the part of LLVM's assembly language that QIR uses.

One linear pass over lines, without recursion and without LLVM, so that no text can harm
the process that reads it. Pointers may be opaque (`ptr`) or typed (`%Qubit*`). What an
instruction means is the part of `qir_reader`.
"""

from __future__ import annotations

import re
import struct
from dataclasses import dataclass, field
from typing import NamedTuple

from qfw.model.errors import ParseError, TooLarge

#: Characters of one text.
MAX_CHARACTERS = 16_000_000
#: Lines of one text, and so instructions.
MAX_LINES = 400_000
#: Characters of one instruction, with the lines that it goes on over.
MAX_INSTRUCTION = 20_000
#: Parentheses, brackets and braces open in one instruction.
MAX_NESTING = 32


class Local(NamedTuple):
    """A value that another instruction, or a parameter, gives."""

    name: str


class Pointer(NamedTuple):
    """A static qubit or result: which of the two, its use says."""

    number: int


class Label(NamedTuple):
    """A global, such as the label of a record."""

    name: str


class Undefined(NamedTuple):
    """`undef`, `poison`, or what has no meaning here: may be handed on, not used."""

    what: str


Constant = int | float | Pointer | Label | Undefined


class Instruction(NamedTuple):
    """One instruction: `result = opcode rest`."""

    result: str | None
    opcode: str
    rest: str
    line: int


@dataclass
class Function:
    """A function that the text defines."""

    name: str
    #: Pairs (type, name).
    parameters: list[tuple[str, str]]
    line: int
    #: Number of its group of attributes, and attributes written at the function itself.
    group: str | None
    attributes: dict[str, str]
    #: Blocks by label; the first one is the entry.
    blocks: dict[str, list[Instruction]] = field(default_factory=dict)


@dataclass
class Module:
    """All of a text that matters for a program."""

    functions: dict[str, Function] = field(default_factory=dict)
    groups: dict[str, dict[str, str]] = field(default_factory=dict)

    def attributes(self, function: Function) -> dict[str, str]:
        """The string attributes of a function; one without a value has the empty one."""
        return self.groups.get(function.group or "", {}) | function.attributes


def parse(text: str) -> Module:
    """The functions of a text.

    Raises:
        ParseError: not of the form of LLVM's assembly language; line.
        TooLarge: more characters, lines or nesting than is read.
    """
    if len(text) > MAX_CHARACTERS:
        raise TooLarge(f"the QIR has {len(text)} characters; at most {MAX_CHARACTERS} are read")
    if (lines := text.count("\n")) > MAX_LINES:
        raise TooLarge(f"the QIR has {lines} lines; at most {MAX_LINES} are read")
    if "\0" in text:
        raise ParseError("the text holds a zero byte: is it bitcode? Give that as bytes")
    module = Module()
    function: Function | None = None
    label = ""
    pending: list[str] = []
    pending_size = pending_from = depth = 0
    for number, line in enumerate(text.splitlines(), 1):
        if ";" in line:
            line = _without_comment(line)
        line = line.strip()
        if not line:
            continue
        if function is None:
            if line.startswith("define"):
                pending, pending_from, pending_size = [], number, 0
            elif not pending:
                if line.startswith("attributes"):
                    _group(line, module)
                continue
            pending.append(line)
            pending_size += len(line)
            if pending_size > MAX_INSTRUCTION:
                raise TooLarge(f"the head of a function from line {pending_from} on is too long")
            if line.endswith("{"):
                function = _head(" ".join(pending), pending_from, module)
                pending, label = [], ""
            continue
        if not pending:
            if line == "}":
                if not function.blocks:
                    raise ParseError(f"function {function.name} is empty", number, 1)
                function = None
                continue
            if line.startswith(("#dbg", "uselistorder")):
                continue
            if (found := _LABEL.match(line)) is not None:
                label = _name(found[1])
                if label in function.blocks:
                    raise ParseError(f"block {label} is defined twice", number, 1)
                function.blocks[label] = []
                line = line[found.end() :].strip()
                if not line:
                    continue
            pending_from, pending_size, depth = number, 0, 0
        pending.append(line)
        pending_size += len(line)
        if pending_size > MAX_INSTRUCTION:
            raise TooLarge(f"line {pending_from}: an instruction of more than {MAX_INSTRUCTION} characters")
        depth += _depth(line, pending_from)
        if depth > 0:
            continue
        if not function.blocks:
            label = str(sum(name.isdecimal() for _, name in function.parameters))
            function.blocks[label] = []
        function.blocks[label].append(_instruction(" ".join(pending), pending_from))
        pending = []
    if function is not None or pending:
        raise ParseError("the text ends inside a function", text.count("\n") + 1, 1)
    return module


def arguments(text: str, line: int) -> list[str]:
    """The parts of a list between commas that stand in no bracket."""
    if _FLAT.fullmatch(text):
        return [part.strip() for part in text.split(",")] if text.strip() else []
    parts: list[str] = []
    start = depth = 0
    quoted = False
    for position, character in enumerate(text):
        if character == '"':
            quoted = not quoted
        elif quoted:
            continue
        elif character in "([{":
            depth += 1
            if depth > MAX_NESTING:
                raise TooLarge(f"line {line}: brackets are nested deeper than {MAX_NESTING}")
        elif character in ")]}":
            depth -= 1
        elif character == "," and depth == 0:
            parts.append(text[start:position].strip())
            start = position + 1
    parts.append(text[start:].strip())
    return parts


def typed(text: str, line: int) -> tuple[str, Local | Constant]:
    """Type and value of an operand like `i64 %n`, `double 1.5`, `%Qubit* null`."""
    known = _TYPED.get(text)
    if known is None:
        known = _typed(text, line)
        # Long ones are rare, and what is kept must stay small.
        if len(_TYPED) < 4096 and len(text) < 128:
            _TYPED[text] = known
    return known


def operand(kind: str, text: str, line: int) -> Local | Constant:
    """The value of an operand whose type is known."""
    text = text.strip()
    if text.startswith("%"):
        return Local(_name(text[1:]))
    if text == "null":
        return Pointer(0)
    if text in ("true", "false"):
        return int(text == "true")
    if text in ("undef", "poison", "zeroinitializer", "none"):
        if text == "zeroinitializer" and kind[:1] == "i":
            return 0
        return Undefined(text)
    if text.startswith("@"):
        return Label(text[1:])
    if (found := _STATIC.match(text)) is not None:
        if len(found[1]) > 20:
            raise TooLarge(f"line {line}: {text[:40]}… is no qubit or result")
        return Pointer(int(found[1]))
    if kind in ("double", "float", "half"):
        return _double(kind, text, line)
    if (width := int_width(kind)) and _INTEGER.fullmatch(text):
        if len(text) > 40:
            raise TooLarge(f"line {line}: an integer of {len(text)} digits")
        return int(text) % (1 << width)
    if "(" in text:
        return Undefined(text.split("(")[0].strip() + " (…)")
    raise ParseError(f"{kind} {text[:60]!r} is not understood", line, 1)


def int_width(kind: str) -> int:
    """Bits of an integer type, at most 64; 0 for other types."""
    if kind[:1] == "i" and kind[1:].isdecimal() and len(kind) < 4:
        width = int(kind[1:])
        return width if width <= 64 else 0
    return 0


def unquoted(name: str) -> str:
    """A name without its prefix and quotes."""
    return _name(name.lstrip("%@"))


def _typed(text: str, line: int) -> tuple[str, Local | Constant]:
    kind, _, rest = text.partition(" ")
    while rest.startswith("*"):
        rest = rest[1:].lstrip()
    rest = rest.strip()
    if not rest:
        raise ParseError(f"{text[:60]!r} is no value with its type", line, 1)
    if "(" in rest:
        # Attributes of a parameter, like nonnull or align, stand in front.
        at = rest.find("inttoptr")
        return kind, operand(kind, rest[at:] if at >= 0 else rest, line)
    if rest.endswith('"'):
        return kind, operand(kind, rest[max(rest.find('%"'), rest.find('@"'), 0) :], line)
    return kind, operand(kind, rest.rpartition(" ")[2], line)


def _double(kind: str, text: str, line: int) -> float:
    if text.startswith("0x"):
        if len(text) > 18:
            raise ParseError(f"{text[:40]!r} is no {kind}", line, 1)
        try:
            value: float = struct.unpack(">d", int(text[2:], 16).to_bytes(8, "big"))[0]
        except ValueError as error:
            raise ParseError(f"{text!r} is no {kind}", line, 1) from error
        return value
    if not _DECIMAL.fullmatch(text):
        raise ParseError(f"{text[:40]!r} is no {kind}", line, 1)
    return float(text)


def _without_comment(line: str) -> str:
    if '"' not in line:
        return line[: line.index(";")]
    quoted = False
    for position, character in enumerate(line):
        if character == '"':
            quoted = not quoted
        elif character == ";" and not quoted:
            return line[:position]
    return line


def _depth(line: str, number: int) -> int:
    opened = line.count("(") + line.count("[") + line.count("{")
    if opened > MAX_NESTING and '"' not in line:
        # Many in one line are many in a row or many inside each other.
        depth = deepest = 0
        for character in line:
            depth += (character in "([{") - (character in ")]}")
            deepest = max(deepest, depth)
        if deepest > MAX_NESTING:
            raise TooLarge(f"line {number}: brackets are nested {deepest} deep; {MAX_NESTING} are read")
    return opened - line.count(")") - line.count("]") - line.count("}")


def _instruction(line: str, number: int) -> Instruction:
    if ", !" in line:
        line = line[: line.index(", !")]
    result = None
    if line.startswith("%"):
        name, equals, rest = line.partition("=")
        if not equals:
            raise ParseError(f"{line[:60]!r} is no instruction", number, 1)
        result, line = _name(name[1:].strip()), rest.strip()
    opcode, _, rest = line.partition(" ")
    if opcode in ("tail", "musttail", "notail"):
        opcode, _, rest = rest.strip().partition(" ")
    if not opcode.isalpha():
        raise ParseError(f"{line[:60]!r} is no instruction", number, 1)
    return Instruction(result, opcode, rest.strip(), number)


def _head(line: str, number: int, module: Module) -> Function:
    found = _DEFINE.match(line)
    if found is None:
        raise ParseError(f"{line[:60]!r} is no head of a function", number, 1)
    opened = found.end() - 1
    depth = 0
    for position in range(opened, len(line)):
        depth += (line[position] == "(") - (line[position] == ")")
        if depth == 0:
            break
    else:
        raise ParseError("the parameters of a function do not end", number, 1)
    parameters: list[tuple[str, str]] = []
    unnamed = 0
    for part in arguments(line[opened + 1 : position], number):
        kind, _, rest = part.partition(" ")
        words = rest.split()
        if words and words[-1].startswith("%"):
            parameters.append((kind, _name(words[-1][1:])))
            unnamed += words[-1][1:].isdecimal()
        else:
            parameters.append((kind, str(unnamed)))
            unnamed += 1
    tail = line[position + 1 :]
    group = _GROUP_NUMBER.search(tail)
    name = _name(found[1])
    if name in module.functions:
        raise ParseError(f"function {name} is defined twice", number, 1)
    function = Function(name, parameters, number, group[1] if group else None, _strings(tail))
    module.functions[name] = function
    return function


def _group(line: str, module: Module) -> None:
    found = _GROUP_NUMBER.search(line)
    if found is not None:
        module.groups.setdefault(found[1], {}).update(_strings(line))


def _strings(text: str) -> dict[str, str]:
    return {found[1]: found[2] or "" for found in _STRING_ATTRIBUTE.finditer(text)}


def _name(text: str) -> str:
    return text[1:-1] if len(text) > 1 and text[0] == '"' and text[-1] == '"' else text


#: No bracket within a bracket, and no comma there: every comma separates.
_FLAT = re.compile(r'[^()\[\]{}"]*(?:\([^()\[\]{}",]*\)[^()\[\]{}"]*)*')
_LABEL = re.compile(r'("[^"]*"|[-\w.$]+):(?=\s|$)')
_DEFINE = re.compile(r'define\b[^@]*@("[^"]*"|[-\w.$]+)\s*\(')
_GROUP_NUMBER = re.compile(r"#(\d+)")
_STRING_ATTRIBUTE = re.compile(r'"([^"]*)"(?:="([^"]*)")?')
_STATIC = re.compile(r"inttoptr\s*\(\s*i\d+\s+(\d+)\s+to\s[^()]*\)$")
_INTEGER = re.compile(r"-?\d+")
_DECIMAL = re.compile(r"[-+]?\d+\.\d*(?:[eE][-+]?\d+)?")
_TYPED: dict[str, tuple[str, Local | Constant]] = {}
