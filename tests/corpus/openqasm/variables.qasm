OPENQASM 3.0;
include "stdgates.inc";
qubit[4] q; bit[4] c;
int i = 0; angle a = pi/4; const int n = 3; bool on = true;
while (i < n) { rz(a * i) q[i]; i += 1; a /= 2; }
if (on && i == 3) h q[3]; else x q[3];
//= rz(0.0) q[0]; rz(pi/8) q[1]; rz(pi/16*2) q[2]; h q[3];
