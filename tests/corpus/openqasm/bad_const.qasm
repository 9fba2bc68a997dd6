OPENQASM 3.0;
include "stdgates.inc";
qubit[2] q; bit[2] c;
const int n = 1;
n = 2;
//! ParseError 5:1 'n' is a constant
