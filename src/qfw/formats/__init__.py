"""Program to and from other forms, and the linear pre-check in front of every foreign text."""
