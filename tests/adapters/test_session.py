"""Devices of a process share a session, and open another where it is gone."""

from __future__ import annotations

import os
import signal

import numpy as np
import pennylane as qml
import pytest

from qfw.adapters import session as shared
from qfw.adapters.pennylane import QFwDevice
from qfw.model.errors import DaemonLost


@pytest.fixture
def own(tmp_path, monkeypatch):
    """This process's shared session, of a daemon of the test's own."""
    monkeypatch.setenv("QFW_RUNTIME_DIR", str(tmp_path))
    shared._close()
    yield
    shared._close()


def cosine(device):
    tape = qml.tape.QuantumScript([qml.RX(0.5, 0)], [qml.expval(qml.Z(0))])
    return device.execute(tape) == pytest.approx(np.cos(0.5))


def test_one_run_is_lost_with_the_daemon_and_no_other(own):
    first, second = QFwDevice(1, engine="reference"), QFwDevice(1, engine="reference")
    assert cosine(first) and cosine(second)
    before = shared.shared_session()
    os.kill(before.client.welcome.pid, signal.SIGKILL)
    with pytest.raises(DaemonLost):
        cosine(first)
    assert cosine(second)
    assert cosine(first)
    assert shared.shared_session() is not before


def test_a_closed_session_is_replaced(own):
    device = QFwDevice(1, engine="reference")
    assert cosine(device)
    shared.shared_session().close()
    assert cosine(device)


def test_a_forked_child_opens_its_own(own):
    device = QFwDevice(1, engine="reference")
    assert cosine(device)
    session = shared.shared_session()
    child = os.fork()
    if not child:
        right = False
        try:
            right = cosine(device) and shared.shared_session() is not session
            shared._close()
        finally:
            os._exit(0 if right else 1)
    assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 0
    assert shared.shared_session() is session and cosine(device)
