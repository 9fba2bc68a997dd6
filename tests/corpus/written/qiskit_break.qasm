// A loop that is left: Qiskit's exporter of OpenQASM 3
// expect: {'011': 0.875, '000': 0.125}
OPENQASM 3.0;
include "stdgates.inc";
bit[3] c;
qubit[1] q;
for int _ in [0:2] {
  h q[0];
  c[0] = measure q[0];
  if (c[0]) {
    break;
  }
}
c[1] = measure q[0];
