OPENQASM 3.0;
include "stdgates.inc";
qubit[2] q; bit[2] c;
for int i in [0:2] h q[i];
//! ParseError 4:24 index 2 is outside
