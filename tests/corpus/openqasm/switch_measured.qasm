OPENQASM 3.0;
include "stdgates.inc";
qubit q; bit[2] c;
switch (c) { case 0 { h q; } case 2 { x q; } default { z q; } }
//= if (c == 0) { h q; } else { if (c == 2) { x q; } else { z q; } }
