OPENQASM 3.0;
include "stdgates.inc";
qubit[2] q; bit[2] c;
return;
//! ParseError 4:1 stands in a subroutine
