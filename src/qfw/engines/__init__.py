"""Engines: what runs inside a worker."""
