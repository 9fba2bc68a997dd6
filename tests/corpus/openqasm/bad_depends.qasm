OPENQASM 3.0;
include "stdgates.inc";
qubit[2] q; bit[2] c;
int i = 0;
if (c[0]) { i = 1; }
//! UnsupportedFeature 5:13 'i' would depend on a measurement
