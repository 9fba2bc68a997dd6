OPENQASM 3.0;
include "stdgates.inc";
qubit[2] q; bit[2] c;
extern f(int) -> int;
//! UnsupportedFeature 4:1 'extern'
