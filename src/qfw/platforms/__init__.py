"""Platforms that come with QFw, each a plugin as a stranger's would be."""
