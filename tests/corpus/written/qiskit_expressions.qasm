// Expressions of measured bits: Qiskit's exporter of OpenQASM 3
// expect: {'100': 0.25, '101': 0.25, '010': 0.25, '011': 0.25}
OPENQASM 3.0;
include "stdgates.inc";
bit[3] s_0;
qubit[3] q;
h q[0];
h q[1];
s_0[0] = measure q[0];
s_0[1] = measure q[1];
if (s_0[0] && !s_0[1]) {
  x q[2];
} else {
  id q[2];
}
if (s_0 < 1) {
  x q[2];
}
s_0[2] = measure q[2];
