"""Adapters: other frameworks' devices and backends on top of the QPI. Each imports its framework itself."""
