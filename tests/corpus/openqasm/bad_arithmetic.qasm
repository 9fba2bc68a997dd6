OPENQASM 3.0;
include "stdgates.inc";
qubit[2] q; bit[2] c;
if (c + 1 == 2) x q;
//! UnsupportedFeature 4:7 '+' of measured bits
