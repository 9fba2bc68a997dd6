OPENQASM 2.0;
include "qelib1.inc";
gate bell a, b { h a; cx a, b; }
qreg q[2];
bell q[1], q[0]; barrier q; reset q[0];
//# Gate(name='h', qubits=(1,), angles=())
//# Gate(name='cx', qubits=(1, 0), angles=())
//# Barrier(qubits=(0, 1))
//# Reset(qubit=0)
