OPENQASM 3.0;
include "stdgates.inc";
qubit[4] q; bit[4] c;
duration d = 50ns; delay[d*2] q[0]; delay[1.5us] q[1]; delay[2ms] q[2:3]; delay[1s] q[0]; delay[1µs] q[0];
//= delay[100ns] q[0]; delay[1500ns] q[1]; barrier q[2], q[3]; delay[2000000ns] q[2]; delay[2000000ns] q[3]; delay[1000000000ns] q[0]; delay[1000ns] q[0];
