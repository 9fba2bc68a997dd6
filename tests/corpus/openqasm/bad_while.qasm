OPENQASM 3.0;
include "stdgates.inc";
qubit[9] q; bit[9] c;
while (c != 0) { c = measure q; }
//! UnsupportedFeature 4:1 a while whose condition holds in more than 8 separate ways
