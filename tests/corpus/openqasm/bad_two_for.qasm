OPENQASM 2.0;
include "qelib1.inc";
qreg q[1];
for int i in [0:1] { x q[0]; }
//! ParseError 4:1 no gate is called 'for'
