"""The twin: simulated quantum processors with calibration, noise, time and a life of their own."""
