"""Samples as arrays: pool, split, prepare and augment them. No torch."""

VERSION = 1
