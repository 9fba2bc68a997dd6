OPENQASM 3.0;
include "stdgates.inc";
qubit[2] q; bit[2] c;
c[0] = c[1];
//! UnsupportedFeature 4:8 only measure may be assigned
