"""Configuration: one TOML file into frozen structs, and the discovery of what is around us."""
