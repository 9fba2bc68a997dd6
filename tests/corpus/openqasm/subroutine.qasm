OPENQASM 3.0;
include "stdgates.inc";
qubit[4] q; bit[4] c;
def pair(qubit a, qubit[2] b, angle t, int n) { h a; for int i in [0:n-1] rz(t*i) b[i]; cx a, b[0]; }
pair(q[3], q[0:1], pi/2, 2);
//= h q[3]; rz(0) q[0]; rz(pi/2) q[1]; cx q[3], q[0];
