OPENQASM 3.0;
include "stdgates.inc";
qubit[4] q; bit[4] c;
def fix(bit[2] s, qubit a) { if (s == 1) x a; }
c[0:1] = measure q[0:1];
fix(c[0:1], q[3]);
//= c[0] = measure q[0]; c[1] = measure q[1]; if (c[0] && !c[1]) { x q[3]; }
