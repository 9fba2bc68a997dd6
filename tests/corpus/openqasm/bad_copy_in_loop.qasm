OPENQASM 3.0;
include "stdgates.inc";
qubit[2] q; bit[2] c;
int k; k = c;
while (c[0]) { if (k == 1) x q[0]; c = measure q; }
//! ParseError 5:20 'k' is no number
