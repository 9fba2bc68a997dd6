OPENQASM 3.0;
include "stdgates.inc";
qubit q; bit c;
c = measure q;
@qfw_max_trips 12
while (c) { h q; c = measure q; }
//# While(clbits=(0,), value=1, body=(Gate(name='h', qubits=(0,), angles=()), Measure(qubit=0, clbit=0)), max_trips=12)
