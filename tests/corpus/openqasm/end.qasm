OPENQASM 3.0;
include "stdgates.inc";
qubit[4] q; bit[4] c;
h q[0]; end; x q[0];
//= h q[0];
