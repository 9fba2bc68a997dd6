OPENQASM 3.0;
include "stdgates.inc";
qubit[2] q; bit[2] c;
int k; k = c;
c[0] = measure q[0];
if (k == 1) x q[0];
//! ParseError 6:5 'k' is no number
