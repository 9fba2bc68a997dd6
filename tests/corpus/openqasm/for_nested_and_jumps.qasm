OPENQASM 3.0;
include "stdgates.inc";
qubit[4] q; bit[4] c;
for int i in [0:3] { for int j in [0:3] { if (j == i) continue; if (j > 2) break; cx q[i], q[j]; } if (i == 1) break; }
//= cx q[0], q[1]; cx q[0], q[2]; cx q[1], q[0]; cx q[1], q[2];
