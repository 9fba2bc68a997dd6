OPENQASM 3.0;
include "stdgates.inc";
qubit q; output bit[2] c;
c[1] = measure q;
//= c[1] = measure q;
