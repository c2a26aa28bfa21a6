"""The conversion zoo's networks: one small specimen of each kind, listed in zoo.toml."""
