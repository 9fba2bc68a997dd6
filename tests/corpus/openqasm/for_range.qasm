OPENQASM 3.0;
include "stdgates.inc";
qubit[4] q; bit[4] c;
for uint i in [0:2] { h q[i]; }
for int i in [3:-2:0] x q[i];
//= h q[0]; h q[1]; h q[2]; x q[3]; x q[1];
