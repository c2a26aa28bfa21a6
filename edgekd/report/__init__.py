"""From a Report to pages that a person reads and a file that a program reads."""
