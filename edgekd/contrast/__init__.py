"""A student beside its teacher in numbers: calibration, classes, layers, neighbourhoods. Numpy only."""

VERSION = 1
