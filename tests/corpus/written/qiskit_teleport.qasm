// A state is teleported and undone: Qiskit's exporter of OpenQASM 3
// expect: {'000': 0.25, '001': 0.25, '010': 0.25, '011': 0.25}
OPENQASM 3.0;
include "stdgates.inc";
bit[1] alpha;
bit[1] beta;
bit[1] out;
qubit[3] q;
U(0.7, 0.3, -1.1) q[0];
h q[1];
cx q[1], q[2];
barrier q[0], q[1], q[2];
cx q[0], q[1];
h q[0];
alpha[0] = measure q[0];
beta[0] = measure q[1];
if (beta == 1) {
  x q[2];
}
if (alpha == 1) {
  z q[2];
}
U(-0.7, 1.1, -0.3) q[2];
out[0] = measure q[2];
