"""Circuits as Qiskit's own documentation and courses have them, by name."""

from __future__ import annotations

from collections.abc import Callable
from math import pi

import numpy as np
from qiskit import ClassicalRegister, QuantumCircuit, QuantumRegister
from qiskit.circuit import Clbit
from qiskit.circuit.library import QFTGate, efficient_su2, phase_estimation, real_amplitudes, zz_feature_map
from qiskit.circuit.random import random_circuit

STRAIGHT: dict[str, Callable[[], QuantumCircuit]] = {}
CONTROL: dict[str, Callable[[], QuantumCircuit]] = {}


def straight(make: Callable[[], QuantumCircuit]) -> Callable[[], QuantumCircuit]:
    STRAIGHT[make.__name__] = make
    return make


def control(make: Callable[[], QuantumCircuit]) -> Callable[[], QuantumCircuit]:
    CONTROL[make.__name__] = make
    return make


@straight
def bell():
    circuit = QuantumCircuit(2, 2)
    circuit.h(0)
    circuit.cx(0, 1)
    circuit.measure([0, 1], [0, 1])
    return circuit


@straight
def ghz_measure_all():
    circuit = QuantumCircuit(4)
    circuit.h(0)
    for qubit in range(3):
        circuit.cx(qubit, qubit + 1)
    circuit.measure_all()
    return circuit


@straight
def measure_active():
    circuit = QuantumCircuit(3)
    circuit.ry(1.0, 2)
    circuit.measure_active()
    return circuit


@straight
def superdense_coding():
    circuit = QuantumCircuit(2)
    circuit.h(0)
    circuit.cx(0, 1)
    circuit.z(0)
    circuit.x(0)
    circuit.cx(0, 1)
    circuit.h(0)
    circuit.measure_all()
    return circuit


@straight
def deutsch_jozsa():
    circuit = QuantumCircuit(4, 3)
    circuit.x(3)
    circuit.h(range(4))
    for qubit in range(3):
        circuit.cx(qubit, 3)
    circuit.h(range(3))
    circuit.measure(range(3), range(3))
    return circuit


@straight
def bernstein_vazirani():
    circuit = QuantumCircuit(5, 4)
    circuit.x(4)
    circuit.h(range(5))
    for qubit in (0, 2, 3):
        circuit.cx(qubit, 4)
    circuit.h(range(4))
    circuit.measure(range(4), range(4))
    return circuit


@straight
def grover_three_qubits():
    circuit = QuantumCircuit(3)
    circuit.h(range(3))
    for _ in range(2):
        circuit.ccz(0, 1, 2)
        circuit.h(range(3))
        circuit.x(range(3))
        circuit.ccz(0, 1, 2)
        circuit.x(range(3))
        circuit.h(range(3))
    circuit.measure_all()
    return circuit


@straight
def quantum_fourier_transform():
    circuit = QuantumCircuit(3)
    circuit.initialize(np.exp(2j * pi * 3 * np.arange(8) / 8) / np.sqrt(8))
    circuit.append(QFTGate(3).inverse(), range(3))
    circuit.measure_all()
    return circuit


@straight
def estimation_of_a_phase():
    unitary = QuantumCircuit(1)
    unitary.p(2 * pi * 0.3, 0)
    circuit = QuantumCircuit(4, 3)
    circuit.x(3)
    circuit.compose(phase_estimation(3, unitary), range(4), inplace=True)
    circuit.measure(range(3), range(3))
    return circuit


@straight
def w_state():
    circuit = QuantumCircuit(3)
    circuit.ry(2 * np.arccos(1 / np.sqrt(3)), 0)
    circuit.ch(0, 1)
    circuit.cx(1, 2)
    circuit.cx(0, 1)
    circuit.x(0)
    circuit.measure_all()
    return circuit


@straight
def bound_ansatz():
    circuit = real_amplitudes(3, reps=2)
    circuit.measure_all()
    return circuit.assign_parameters(np.linspace(0, 2, circuit.num_parameters))


@straight
def efficient_ansatz():
    circuit = efficient_su2(3, reps=1)
    circuit.measure_all()
    return circuit.assign_parameters(np.linspace(-1, 1, circuit.num_parameters))


@straight
def feature_map():
    circuit = zz_feature_map(3, reps=1)
    circuit.measure_all()
    return circuit.assign_parameters([0.3, 0.9, 1.4])


@straight
def two_registers():
    circuit = QuantumCircuit(
        QuantumRegister(2, "a"), QuantumRegister(1, "b"), ClassicalRegister(1, "c"), ClassicalRegister(3, "d")
    )
    for qubit, angle in enumerate((0.5, 1.2, 2.0)):
        circuit.ry(angle, qubit)
    circuit.measure([0, 1, 2], [3, 0, 1])
    return circuit


@straight
def measure_all_behind_a_register():
    circuit = QuantumCircuit(2, 2)
    circuit.h(0)
    circuit.cx(0, 1)
    circuit.measure_all()
    return circuit


@straight
def more_bits_than_measured():
    circuit = QuantumCircuit(2, 5)
    circuit.h(0)
    circuit.measure([0, 1], [4, 1])
    return circuit


@straight
def bits_turned_round():
    circuit = QuantumCircuit(3, 3)
    for qubit, angle in enumerate((0.4, 1.3, 2.2)):
        circuit.ry(angle, qubit)
    circuit.measure([0, 1, 2], [2, 1, 0])
    return circuit


@straight
def measured_twice():
    circuit = QuantumCircuit(2, 3)
    circuit.h(0)
    circuit.ry(0.7, 1)
    circuit.measure([0, 1, 0], [0, 1, 2])
    return circuit


@straight
def one_bit_written_twice():
    circuit = QuantumCircuit(2, 1)
    circuit.x(0)
    circuit.ry(0.7, 1)
    circuit.measure(0, 0)
    circuit.measure(1, 0)
    return circuit


@straight
def barriers_delays_and_identities():
    circuit = QuantumCircuit(2, 2)
    circuit.h(0)
    circuit.barrier()
    circuit.delay(10, 1)
    circuit.id(0)
    circuit.cx(0, 1)
    circuit.barrier(0)
    circuit.measure([0, 1], [0, 1])
    return circuit


@straight
def gates_of_many_kinds():
    circuit = random_circuit(4, 6, max_operands=4, seed=7)
    circuit.measure_all()
    return circuit


@straight
def seventy_bits():
    circuit = QuantumCircuit(2, 70)
    circuit.h(0)
    circuit.cx(0, 1)
    circuit.measure([0, 1], [69, 3])
    return circuit


@control
def teleportation():
    bits = ClassicalRegister(1, "z"), ClassicalRegister(1, "x"), ClassicalRegister(1, "out")
    circuit = QuantumCircuit(QuantumRegister(3, "q"), *bits)
    circuit.ry(0.9, 0)
    circuit.h(1)
    circuit.cx(1, 2)
    circuit.cx(0, 1)
    circuit.h(0)
    circuit.measure(0, bits[0])
    circuit.measure(1, bits[1])
    with circuit.if_test((bits[1], 1)):
        circuit.x(2)
    with circuit.if_test((bits[0], 1)):
        circuit.z(2)
    circuit.measure(2, bits[2])
    return circuit


@control
def reset_and_reuse():
    circuit = QuantumCircuit(1, 3)
    for bit in range(3):
        circuit.ry(0.5 + bit, 0)
        circuit.measure(0, bit)
        circuit.reset(0)
    return circuit


@control
def repeat_until_success():
    circuit = QuantumCircuit(2, 2)
    circuit.h(0)
    circuit.measure(0, 0)
    with circuit.while_loop((circuit.clbits[0], 0)):
        circuit.h(0)
        circuit.measure(0, 0)
    circuit.ry(1.1, 1)
    circuit.measure(1, 1)
    return circuit


@control
def switch_on_a_register():
    c, d = ClassicalRegister(2, "c"), ClassicalRegister(1, "d")
    circuit = QuantumCircuit(QuantumRegister(3, "q"), c, d)
    circuit.ry(1.0, 0)
    circuit.h(1)
    circuit.measure([0, 1], c)
    with circuit.switch(c) as case:
        with case(0, 3):
            circuit.x(2)
        with case(2):
            circuit.ry(1.3, 2)
    circuit.measure(2, d[0])
    return circuit


@control
def bit_flip_code():
    data, syndrome, out = QuantumRegister(5, "q"), ClassicalRegister(2, "s"), ClassicalRegister(3, "out")
    circuit = QuantumCircuit(data, syndrome, out)
    circuit.ry(0.8, 0)
    circuit.cx(0, 1)
    circuit.cx(0, 2)
    circuit.rx(0.9, 1)
    circuit.cx(0, 3)
    circuit.cx(1, 3)
    circuit.cx(1, 4)
    circuit.cx(2, 4)
    circuit.measure([3, 4], syndrome)
    for value, qubit in ((1, 0), (3, 1), (2, 2)):
        with circuit.if_test((syndrome, value)):
            circuit.x(qubit)
    circuit.measure([0, 1, 2], out)
    return circuit


def loose_bits() -> QuantumCircuit:
    circuit = QuantumCircuit(QuantumRegister(2, "q"), ClassicalRegister(1, "c"), [Clbit(), Clbit()])
    circuit.x([0, 1])
    circuit.measure([0, 1], [0, 2])
    return circuit


def overlapping_registers() -> QuantumCircuit:
    c = ClassicalRegister(2, "c")
    circuit = QuantumCircuit(QuantumRegister(2, "q"), c, ClassicalRegister(bits=[c[1]], name="d"))
    circuit.x(0)
    circuit.measure([0, 1], c)
    return circuit
