"""The command `qfw`: one file per sub-command, imported when it is used."""
