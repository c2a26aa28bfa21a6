"""Application bundles by kind: folders that drop into a user's project."""
