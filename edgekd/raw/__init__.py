"""Programs that take what a camera or a microphone gives: what their graphs do to that before the network sees it.

A package of its own, so that a change here makes nothing anew but programs with raw input.
"""

VERSION = 1
