OPENQASM 3.0;
include "stdgates.inc";
qubit[4] q; bit[4] c;
while (c[0] || c[1]) { c = measure q; }
//= while (c[0]) { c = measure q; } while (c[1]) { c = measure q; while (c[0]) { c = measure q; } }
