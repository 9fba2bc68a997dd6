OPENQASM 3.0;
include "stdgates.inc";
qubit[4] q; bit[4] c;
int i = 1;
{ }
box { int i = 2; h q[i]; }
h q[i];
//= h q[2]; h q[1];
