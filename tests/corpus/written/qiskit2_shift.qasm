// 3 + 1 in Fourier's basis: Qiskit's exporter of OpenQASM 2
// expect: {'100': 1.0}
OPENQASM 2.0;
include "qelib1.inc";
gate qft q0,q1,q2 { h q2; cp(pi/2) q2,q1; cp(pi/4) q2,q0; h q1; cp(pi/2) q1,q0; h q0; swap q0,q2; }
gate qft_dg q0,q1,q2 { swap q0,q2; h q0; cp(-pi/2) q1,q0; h q1; cp(-pi/4) q2,q0; cp(-pi/2) q2,q1; h q2; }
qreg q[3];
creg c[3];
x q[0];
x q[1];
qft q[0],q[1],q[2];
p(pi/4) q[0];
p(pi/2) q[1];
p(pi) q[2];
qft_dg q[0],q[1],q[2];
measure q[0] -> c[0];
measure q[1] -> c[1];
measure q[2] -> c[2];
