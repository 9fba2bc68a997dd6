OPENQASM 3.0;
include "stdgates.inc";
qubit[2] q; bit[2] c;
break;
//! ParseError 4:1 'break' stands in a loop
