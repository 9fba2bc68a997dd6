"""Which task runs next, as a pure function of events: no clock, socket, thread or file."""
