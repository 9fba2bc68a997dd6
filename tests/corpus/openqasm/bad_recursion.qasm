OPENQASM 3.0;
include "stdgates.inc";
qubit[2] q; bit[2] c;
def f(int n) { f(n); }
f(1);
//! UnsupportedFeature 4:16 recursion is not supported
