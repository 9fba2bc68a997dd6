"""Child processes under limits: what a worker, a host or a tool may use."""
