OPENQASM 3.0;
include "stdgates.inc";
qubit[2] q; bit[2] c;
uint[2] n = 5;
//! ParameterError 4:13 5 does not fit into uint[2]
