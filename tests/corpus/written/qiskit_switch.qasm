// A switch of two measured bits: Qiskit's exporter of OpenQASM 3
// expect: {'100': 0.25, '001': 0.125, '101': 0.125, '010': 0.125, '110': 0.125, '011': 0.25}
OPENQASM 3.0;
include "stdgates.inc";
bit[2] dice;
bit[1] r;
int switch_dummy;
qubit[3] q;
h q[0];
h q[1];
dice[0] = measure q[0];
dice[1] = measure q[1];
switch_dummy = dice;
switch (switch_dummy) {
  case 0 {
    x q[2];
  }
  case 1, 2 {
    h q[2];
  }
  default {
    z q[2];
  }
}
r[0] = measure q[2];
