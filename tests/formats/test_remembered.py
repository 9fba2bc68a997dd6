"""What is remembered: the last things, within the bounds of number and size."""

from __future__ import annotations

from qfw.formats.remembered import Remembered


def test_what_was_asked_for_last_is_kept():
    remembered: Remembered[str] = Remembered(2, 100)
    remembered.put("a", "A", 1)
    remembered.put("b", "B", 1)
    assert remembered.get("a") == "A"
    remembered.put("c", "C", 1)
    assert [remembered.get(key) for key in "abc"] == ["A", None, "C"]
    assert len(remembered) == 2


def test_sizes_are_counted_and_given_back():
    remembered: Remembered[str] = Remembered(100, 10)
    for number in range(50):
        remembered.put(number, str(number), 5)
    assert len(remembered) == 2 and remembered.get(48) == "48"
    # The same key again takes no more than it takes.
    for _ in range(5):
        remembered.put(49, "again", 5)
    assert len(remembered) == 2 and remembered.get(49) == "again"


def test_the_last_one_is_kept_whatever_its_size():
    remembered: Remembered[str] = Remembered(100, 10)
    remembered.put("small", "s", 1)
    remembered.put("large", "l", 1000)
    assert remembered.get("large") == "l" and remembered.get("small") is None
    remembered.put("small", "s", 1)
    assert remembered.get("small") == "s" and remembered.get("large") is None
