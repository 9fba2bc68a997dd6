OPENQASM 3.0;
include "stdgates.inc";
qubit[2] q; bit[2] c;
pragma anything
h q;
//! UnsupportedFeature 4:1 'pragma'
