"""QFw: quantum processors for hybrid applications, as usable as a GPU."""

__version__ = "0.1.0"
