"""QFw as a Qiskit backend."""
