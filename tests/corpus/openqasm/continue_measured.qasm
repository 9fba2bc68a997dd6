OPENQASM 3.0;
include "stdgates.inc";
qubit q; bit c;
for int i in [0:1] { c = measure q; if (c) continue; else x q; z q; }
//= c = measure q; if (c) { } else { x q; z q; } c = measure q; if (c) { } else { x q; z q; }
