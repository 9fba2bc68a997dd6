OPENQASM 3.0;
include "stdgates.inc";
qubit[4] q; bit[4] c;
c = measure q;
if (c == 5) x q[0];
if (c[0] && !c[2]) { x q[1]; } else { h q[1]; }
if (c != 3) z q[2];
if (!c[1]) y q[3];
//= c = measure q; if (c == 5) { x q[0]; } if (c[0] && !c[2]) { x q[1]; } else { h q[1]; } if (c == 3) { } else { z q[2]; } if (c[1] == 0) { y q[3]; }
