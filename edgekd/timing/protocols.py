"""How much is measured before a number is told: quick, reportable, soak."""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

Answer = dict[str, Any]


@dataclass(frozen=True)
class Protocol:
    """How an artifact is timed, in sessions, each a fresh process.

    Sessions follow until there are `sessions` of them, `inferences` in all and `total` seconds in all, but not more
    than `most_sessions`. One lasts `seconds` or longer, but not above `longest`, and keeps at most `most` runs, evenly
    spaced. Before it the device may cool down for `cooling` seconds at most, and the warm-up takes `longest_warmup` at
    most. Up to `repeats` disturbed sessions are taken again. `minutes` of sustained load follow.
    """

    name: str
    sessions: int
    most_sessions: int
    inferences: int
    seconds: float
    longest: float
    most: int
    longest_warmup: float
    repeats: int
    cooling: float
    total: float = 0.0
    minutes: int = 0

    def request(self) -> Answer:
        """Fields of the request of a session, which chooses its number of runs after its warm-up."""
        return {
            "seconds": self.seconds,
            "least": math.ceil(self.inferences / self.sessions),
            "longest": self.longest,
            "most": self.most,
            "longest_warmup": self.longest_warmup,
            "cooling": self.cooling,
        }

    def timeout(self) -> float:
        """Seconds after which a session is given up."""
        return 300.0 + self.longest + self.cooling + self.longest_warmup

    def enough(self, told: Sequence[Answer]) -> bool:
        """Whether no further session is wanted after these."""
        runs = sum(session["runs"] * session["stride"] for session in told)
        seconds = sum(session["seconds"] for session in told)
        return len(told) >= self.most_sessions or (
            len(told) >= self.sessions and runs >= self.inferences and seconds >= self.total
        )


# A session of the reportable protocol is a little longer than its share of the minute, since the warm-up, by which its
# number of runs is chosen, may be slower than what follows.
REPORTABLE = Protocol(
    "reportable", 10, 16, 1024, seconds=6.3, longest=70.0, most=1024, longest_warmup=10.0, repeats=5, cooling=30.0,
    total=60.0,
)  # fmt: skip
PROTOCOLS = {
    "quick": Protocol(
        "quick", 4, 4, 64, seconds=0.15, longest=1.0, most=512, longest_warmup=0.5, repeats=2, cooling=5.0
    ),
    "reportable": REPORTABLE,
    "soak": Protocol(**vars(REPORTABLE) | {"name": "soak", "minutes": 10}),
}
