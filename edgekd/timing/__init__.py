"""How artifacts are timed: protocols, sessions in fresh processes taken in turn, and what they say together."""

VERSION = 2
