OPENQASM 3.0;
include "stdgates.inc";
qubit[2] q; bit[2] c;
while (c[0]) { c = measure q; if (c[1]) break; }
//! UnsupportedFeature 4:31 'break', taken or not by what was measured
