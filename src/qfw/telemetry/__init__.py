"""Telemetry: what the events of a journal tell about the applications that ran."""
