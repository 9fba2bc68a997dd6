OPENQASM 3.0;
include "stdgates.inc";
qubit[2] q; bit[2] c;
rx(c[0]) q[0];
//! UnsupportedFeature 4:4 a number that depends on a measurement
