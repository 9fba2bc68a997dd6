OPENQASM 3.0;
include "stdgates.inc";
qubit[2] q; bit[2] c;
delay[100] q[0];
//! ParseError 4:7 a delay lasts some time
