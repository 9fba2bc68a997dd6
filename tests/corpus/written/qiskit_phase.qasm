// Phase 5/8 in three bits: Qiskit's exporter of OpenQASM 3
// expect: {'101': 1.0}
OPENQASM 3.0;
include "stdgates.inc";
gate mcphase(_gate_p_0) _gate_q_0, _gate_q_1 {
  cp(5*pi/4) _gate_q_0, _gate_q_1;
}
gate _cturn__1 _gate_q_0, _gate_q_1 {
  mcphase(5*pi/4) _gate_q_0, _gate_q_1;
}
gate _cturn__2 _gate_q_0, _gate_q_1 {
  mcphase(5*pi/4) _gate_q_0, _gate_q_1;
  mcphase(5*pi/4) _gate_q_0, _gate_q_1;
}
gate _cturn__4 _gate_q_0, _gate_q_1 {
  mcphase(5*pi/4) _gate_q_0, _gate_q_1;
  mcphase(5*pi/4) _gate_q_0, _gate_q_1;
  mcphase(5*pi/4) _gate_q_0, _gate_q_1;
  mcphase(5*pi/4) _gate_q_0, _gate_q_1;
}
gate qft_dg _gate_q_0, _gate_q_1, _gate_q_2 {
  swap _gate_q_0, _gate_q_2;
  h _gate_q_0;
  cp(-pi/2) _gate_q_1, _gate_q_0;
  h _gate_q_1;
  cp(-pi/4) _gate_q_2, _gate_q_0;
  cp(-pi/2) _gate_q_2, _gate_q_1;
  h _gate_q_2;
}
bit[3] c;
qubit[4] q;
x q[3];
h q[0];
h q[1];
h q[2];
_cturn__1 q[0], q[3];
_cturn__2 q[1], q[3];
_cturn__4 q[2], q[3];
qft_dg q[0], q[1], q[2];
c[0] = measure q[0];
c[1] = measure q[1];
c[2] = measure q[2];
