"""Where a file begins to compute something else than torch: a program's values, layouts, noise by layer, likely causes.

Apart from nets/, so that a change of a rule never trains a network again.
"""

VERSION = 1
