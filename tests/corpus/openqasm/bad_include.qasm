OPENQASM 3.0;
include "mine.inc";
//! UnsupportedFeature 2:9 no file is opened
