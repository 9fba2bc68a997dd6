// 3 + 2: Qiskit's exporter of OpenQASM 2
// expect: {'101': 1.0}
OPENQASM 2.0;
include "qelib1.inc";
gate maj q0,q1,q2 { cx q2,q1; cx q2,q0; ccx q0,q1,q2; }
gate uma q0,q1,q2 { ccx q0,q1,q2; cx q2,q0; cx q0,q1; }
qreg a[2];
qreg b[2];
qreg cin[1];
qreg cout[1];
creg sum[3];
x a[0];
x a[1];
x b[1];
maj cin[0],b[0],a[0];
maj a[0],b[1],a[1];
cx a[1],cout[0];
uma a[0],b[1],a[1];
uma cin[0],b[0],a[0];
measure b[0] -> sum[0];
measure b[1] -> sum[1];
measure cout[0] -> sum[2];
