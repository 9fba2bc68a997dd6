OPENQASM 3.0;
include "stdgates.inc";
qubit[2] q; bit[2] c;
if (true) { qubit r; }
//! ParseError 4:13 qubit stands outside all blocks
