OPENQASM 3.0;
include "stdgates.inc";
qubit[2] q; bit[2] c;
h q[0]
x q[1];
//! ParseError 5:1 ',' or ';' is needed, not 'x'
