OPENQASM 2.0;
include "qelib1.inc";
qreg q[1];
opaque g a;
//! UnsupportedFeature 4:1 'opaque'
