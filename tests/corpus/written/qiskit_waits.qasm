// Reset, delay and barrier: Qiskit's exporter of OpenQASM 3
// expect: {'10': 1.0}
OPENQASM 3.0;
include "stdgates.inc";
bit[2] c;
qubit[2] q;
x q[0];
reset q[0];
delay[120.0ns] q[0];
h q[1];
barrier q[0], q[1];
h q[1];
x q[1];
c[0] = measure q[0];
c[1] = measure q[1];
