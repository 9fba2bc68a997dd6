OPENQASM 3.0;
include "stdgates.inc";
qubit[4] q; bit[4] c;
for int i in [0:3] switch (i) { case 0, 2 { h q[i]; } case 1 { x q[i]; } default { z q[i]; } }
//= h q[0]; x q[1]; h q[2]; z q[3];
