OPENQASM 3.0;
include "stdgates.inc";
qubit[2] q; bit[2] c;
while (c != 0) { c = measure q; }
//! UnsupportedFeature 4:1 a while goes on as long as bits equal one number
