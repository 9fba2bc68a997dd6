OPENQASM 3.0;
include "stdgates.inc";
qubit[4] q; bit[4] c;
let odd = q[1:2:3]; let back = q[{3, 0}]; let all = odd ++ q[0:2:2];
h odd; x back[0]; z all[-1]; let low = c[0:1];
low = measure q[0:1];
//= h q[1]; h q[3]; x q[3]; z q[2]; c[0] = measure q[0]; c[1] = measure q[1];
