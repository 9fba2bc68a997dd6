OPENQASM 3.0;
include "stdgates.inc";
qubit[2] q; bit[2] c;
let a = q ++ q[0:0];
//! ParseError 4:5 'a' names a qubit twice
