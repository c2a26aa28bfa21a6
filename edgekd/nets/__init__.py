"""Torch networks: build, load, run, count, learn and export them. Only workers import this."""

VERSION = 1
