OPENQASM 3.0;
include "stdgates.inc";
qubit q; bit c;
for int i in [0:2] { h q; c = measure q; if (c) { x q; break; } z q; }
y q;
//= h q; c = measure q; if (c) { x q; } else { z q; h q; c = measure q; if (c) { x q; } else { z q; h q; c = measure q; if (c) { x q; } else { z q; } } } y q;
