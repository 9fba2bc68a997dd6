// Until a coin falls on 1, which it does within the loop's bound: Qiskit's exporter of OpenQASM 3
// expect: {'11': 1.0}
OPENQASM 3.0;
include "stdgates.inc";
bit[2] c;
qubit[2] q;
h q[0];
c[0] = measure q[0];
while (!c[0]) {
  h q[0];
  c[0] = measure q[0];
}
cx q[0], q[1];
c[1] = measure q[1];
