OPENQASM 3.0;
include "stdgates.inc";
qubit q; bit[2] c;
if (c[0] || c[1]) x q;
//= if (c[0]) { x q; } else { if (c[1]) { x q; } }
