"""The loops of a build: pure generators that yield steps and are sent results. No torch, no files, no printing."""
