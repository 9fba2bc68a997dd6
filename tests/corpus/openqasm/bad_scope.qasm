OPENQASM 3.0;
include "stdgates.inc";
qubit[2] q; bit[2] c;
for int i in [0:1] { int k = i; }
x q[k];
//! ParseError 5:5 'k' is no number
