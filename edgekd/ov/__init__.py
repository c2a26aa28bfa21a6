"""OpenVINO models as its own tools and NNCF make them: which operator's output holds what, and copies that show it.

A package of its own, so that a change here converts nothing but OpenVINO files again.
"""

VERSION = 2
