OPENQASM 3.0;
include "stdgates.inc";
qubit q; bit[2] c;
if (c < 2) x q;
if (c >= 3) h q;
if (0 < c) z q;
if (uint[2](c) <= 0) y q;
//= if (!c[1]) { x q; } if (!c[1]) { } else { if (!c[0] && c[1]) { } else { h q; } } if (c == 0) { } else { z q; } if (c == 0) { y q; }
