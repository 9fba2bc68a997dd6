"""Simulation environment: warm, limited workers behind one platform."""
