OPENQASM 3.0;
include "stdgates.inc";
h $0;
//! UnsupportedFeature 3:3 physical qubits ($0)
