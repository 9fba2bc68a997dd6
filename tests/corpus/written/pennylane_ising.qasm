// Couplings there and back: as PennyLane writes OpenQASM 2
// expect: {'001': 0.5, '101': 0.5}
OPENQASM 2.0;
include "qelib1.inc";
qreg q[3];
creg c[3];
ry(1.5707963267948966) q[0];
ry(1.5707963267948966) q[1];
ry(1.5707963267948966) q[2];
cx q[0],q[1];
rz(0.7) q[1];
cx q[0],q[1];
cx q[1],q[2];
rz(0.7) q[2];
cx q[1],q[2];
cx q[0],q[1];
rz(-0.7) q[1];
cx q[0],q[1];
cx q[1],q[2];
rz(-0.7) q[2];
cx q[1],q[2];
ry(1.5707963267948966) q[0];
ry(-1.5707963267948966) q[1];
u1(0.3) q[2];
u3(0.0,0.4,-0.4) q[2];
measure q[0] -> c[0];
measure q[1] -> c[1];
measure q[2] -> c[2];
