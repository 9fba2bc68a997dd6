OPENQASM 3.0;
include "stdgates.inc";
qubit[4] q; bit[4] c;
for int i in {3, 0} { rx(pi*i) q[i]; }
for float f in {0.5, 1.5} { rz(f) q[0]; }
//= rx(pi*3) q[3]; rx(0) q[0]; rz(0.5) q[0]; rz(1.5) q[0];
