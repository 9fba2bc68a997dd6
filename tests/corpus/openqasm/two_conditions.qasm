OPENQASM 2.0;
include "qelib1.inc";
qreg q[2]; creg a[2]; creg b[1];
measure q -> a; if (a==2) x q[0]; if(b==1) measure q[1] -> b[0]; if (a==7) h q[0];
//# IfElse(clbits=(0, 1), value=2, then=(Gate(name='x', qubits=(0,), angles=()),), otherwise=())
//# IfElse(clbits=(2,), value=1, then=(Measure(qubit=1, clbit=2),), otherwise=())
