"""Decoders of MessagePack for bytes that anybody may have sent: one kind of error."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import msgspec


def decoder(kind: Any) -> Callable[[bytes | memoryview], Any]:
    """A function from bytes to a value of `kind`, which raises msgspec.DecodeError and nothing else.

    msgspec lets two more through: of text that is not UTF-8, and of arrays nested without end.
    """
    decode = msgspec.msgpack.Decoder(kind).decode

    def checked(encoded: bytes | memoryview) -> Any:
        try:
            return decode(encoded)
        except (UnicodeDecodeError, RecursionError) as error:
            raise msgspec.DecodeError(str(error)) from error

    return checked
