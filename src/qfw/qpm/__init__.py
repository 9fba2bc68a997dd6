"""The narrow waist: protocols for plugins, their registry, the wire and its remote client."""
