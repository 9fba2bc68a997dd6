OPENQASM 3.0;
include "stdgates.inc";
qubit[4] q; bit[4] c;
ctrl(2) @ x q[0], q[1], q[2]; negctrl @ x q[0], q[1]; inv @ s q[0]; pow(2) @ t q[1]; ctrl @ inv @ rx(0.5) q[0], q[1];
//= ccx q[0], q[1], q[2]; x q[0]; cx q[0], q[1]; x q[0]; sdg q[0]; s q[1]; crx(-0.5) q[0], q[1];
