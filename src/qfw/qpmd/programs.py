"""The programs that a daemon knows, by digest; bounded."""

from __future__ import annotations

from collections import OrderedDict

from qfw.model.errors import TooLarge
from qfw.model.program import Program
from qfw.qpm.wire import MAX_PROGRAM_BYTES


class ProgramStore:
    """Keeps every program that a live task uses, and as many others as fit."""

    def __init__(self, idle_bytes: int) -> None:
        """`idle_bytes` bounds the programs that no live task uses."""
        self._idle_bytes = idle_bytes
        self._programs: dict[bytes, tuple[Program, bytes]] = {}
        self._uses: dict[bytes, int] = {}
        self._idle: OrderedDict[bytes, None] = OrderedDict()
        #: Bytes of the idle ones.
        self._idle_size = 0

    def limit(self, idle_bytes: int) -> None:
        """Another bound, at once."""
        self._idle_bytes = idle_bytes
        self._make_room(0)

    def add(self, encoded: bytes) -> bytes | None:
        """Stores a program that travelled; its digest, or None where it was there. Raises like `put`."""
        digest, new = self.put(encoded)
        return digest if new else None

    def put(self, encoded: bytes) -> tuple[bytes, bool]:
        """Stores a program; its digest, and whether it was not there.

        Raises:
            TooLarge: it has more than MAX_PROGRAM_BYTES.
            ProgramError: the bytes are no well-formed program.
        """
        if len(encoded) > MAX_PROGRAM_BYTES:
            raise TooLarge(
                f"a program of {len(encoded)} bytes was sent; a daemon takes {MAX_PROGRAM_BYTES} at most. "
                f"Split the circuit, or write repetitions as parameter sets"
            )
        program = Program.decode(encoded)
        # The digest is ours, taken of what we decoded: a client's claim is not asked for.
        digest = program.digest
        if digest in self._programs:
            return digest, False
        self._programs[digest] = (program, program.encoded)
        self._rest(digest)
        return digest, True

    def get(self, digest: bytes) -> Program | None:
        """The program, or None where it is not known (any more)."""
        found = self._programs.get(digest)
        return found[0] if found else None

    def encoded(self, digest: bytes) -> bytes:
        """Canonical bytes of a program that a live task uses."""
        return self._programs[digest][1]

    def use(self, digest: bytes) -> None:
        """A live task uses it."""
        uses = self._uses.get(digest, 0)
        self._uses[digest] = uses + 1
        if not uses:
            del self._idle[digest]
            self._idle_size -= len(self._programs[digest][1])

    def release(self, digest: bytes) -> None:
        """That task ended."""
        uses = self._uses[digest] - 1
        if uses:
            self._uses[digest] = uses
        else:
            del self._uses[digest]
            self._rest(digest)

    def _rest(self, digest: bytes) -> None:
        """No live task uses it (yet): the others that are idle make room for it, the oldest first."""
        self._make_room(len(self._programs[digest][1]))
        self._idle[digest] = None
        self._idle_size += len(self._programs[digest][1])

    def _make_room(self, size: int) -> None:
        while self._idle and self._idle_size + size > self._idle_bytes:
            oldest, _ = self._idle.popitem(last=False)
            self._idle_size -= len(self._programs.pop(oldest)[1])
