OPENQASM 3.0;
include "stdgates.inc";
qubit[2] q; bit[2] c;
box[10ns] { h q; }
//! UnsupportedFeature 4:1 a box that lasts
