OPENQASM 3.0;
include "stdgates.inc";
qubit[2] q; bit[2] c;
delay[100dt] q[0];
//! UnsupportedFeature 4:10 a duration in dt
