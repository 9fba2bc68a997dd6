OPENQASM 3.0;
include "stdgates.inc";
qubit q; bit[2] c;
if (c < 9) x q;
if (c == 9) h q;
if (c >= 0) z q; else y q;
//= x q; z q;
