"""From a page of TOML and flags to a plan: what the user wrote, parsed once."""
