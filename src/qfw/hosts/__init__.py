"""Platforms in host processes: a third party's code, under limits and deadlines, and believed nothing."""
