"""A reference evaluator for Core ML's ML Programs: what is in a package, walked operator by operator with torch.

Not Core ML's own arithmetic: each operator is worked out by its definition in the MIL reference, and rounded to the
type that the file declares. Apart from nets/, so that a change of a rule never trains a network again.
"""

VERSION = 4
