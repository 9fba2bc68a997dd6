"""Values only: programs, tasks, results, devices, events and errors. Imports nothing of QFw."""
