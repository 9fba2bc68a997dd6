OPENQASM 3.0;
include "stdgates.inc";
qubit[4] q; bit[4] c;
def one(qubit a) -> bit { h a; return measure a; }
def two(qubit[2] a) -> bit[2] { bit[2] r; r = measure a; if (r == 2) x a[0]; return r; }
def next(int n) -> int { return n + 1; }
c[3] = one(q[1]); c[0:1] = two(q[2:3]);
int k = next(1); k = next(k); x q[k];
//= h q[1]; c[3] = measure q[1]; c[0] = measure q[2]; c[1] = measure q[3]; if (!c[0] && c[1]) { x q[2]; } x q[3];
