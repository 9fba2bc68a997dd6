// Angles of a loop's variable, π in all: Qiskit's exporter of OpenQASM 3
// expect: {'1': 1.0}
OPENQASM 3.0;
include "stdgates.inc";
bit[1] c;
qubit[1] q;
for int i in [1:5] {
  rx(pi/15*i) q[0];
}
c[0] = measure q[0];
