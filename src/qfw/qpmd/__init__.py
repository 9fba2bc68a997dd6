"""The daemon: journal, state, dispatch. Started as `python -m qfw.qpmd`."""
