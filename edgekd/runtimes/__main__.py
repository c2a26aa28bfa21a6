"""Run one job: python -m edgekd.runtimes request.json"""

import sys

from .job import main

sys.exit(main(sys.argv[1:]))
