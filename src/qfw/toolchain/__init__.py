"""Tools that come with QFw, each a plugin as a stranger's would be: what lowers programs on their way to a device."""
