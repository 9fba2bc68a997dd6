"""The programs of a daemon: what stays and what goes."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from qfw.model.program import Gate, Program
from qfw.qpmd.programs import ProgramStore

PROGRAMS = [Program(2, 0, 0, (Gate("h", (0,)),) * length) for length in (1, 2, 3, 5, 8, 13, 21)]


def test_live_programs_do_not_drive_out_idle_ones() -> None:
    first, second, *others = PROGRAMS
    store = ProgramStore(len(first.encoded) + len(second.encoded))
    for program in others:
        store.use(store.add(program.encoded) or b"")
    for program in (first, second):
        assert store.add(program.encoded) == program.digest
    assert all(store.get(program.digest) for program in PROGRAMS)


@given(
    limit=st.integers(0, 500),
    steps=st.lists(st.tuples(st.sampled_from(["add", "use", "release"]), st.sampled_from(PROGRAMS))),
)
def test_live_ones_stay_and_idle_ones_are_bounded(limit: int, steps: list[tuple[str, Program]]) -> None:
    store = ProgramStore(limit)
    uses = dict.fromkeys((program.digest for program in PROGRAMS), 0)
    for step, program in steps:
        digest = program.digest
        if step == "add":
            store.add(program.encoded)
            assert store.get(digest)
        elif step == "use" and store.get(digest):
            store.use(digest)
            uses[digest] += 1
        elif step == "release" and uses[digest]:
            store.release(digest)
            uses[digest] -= 1
        idle = 0
        for each in PROGRAMS:
            if uses[each.digest]:
                assert store.encoded(each.digest) == each.encoded
            elif store.get(each.digest):
                idle += len(each.encoded)
        # The last one stays, however long.
        assert idle <= max(limit, max(len(each.encoded) for each in PROGRAMS))
