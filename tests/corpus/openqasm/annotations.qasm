OPENQASM 3.0;
include "stdgates.inc";
@note anything ( at [ all
qubit q; bit c;
  @bound here
h q;
//= h q;
