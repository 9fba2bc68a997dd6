OPENQASM 3.0;
include "stdgates.inc";
qubit[4] q; bit[4] c;
const uint[8] m = 0xF & 0b1010; const float f = pow(2, 3) + mod(7, 4) + popcount(m) + (3 << 2) + floor(2.5);
rz(f) q[0]; rz(m) q[1]; rz(float(5)/2) q[2]; rz(ceiling(arccos(0.0))) q[3]; int k = 7/2; x q[k];
//= rz(27) q[0]; rz(10) q[1]; rz(2.5) q[2]; rz(2) q[3]; x q[3];
