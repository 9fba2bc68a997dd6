OPENQASM 3.0;
include "stdgates.inc";
qubit[2] q; bit[2] c;
measure q[0];
//! UnsupportedFeature 4:1 measure without a target
