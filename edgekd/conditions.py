"""What surrounded a measurement, as values: sensors before and after, the noise floor, sustained load, energy."""

from edgekd.spec import Value


class Interval(Value):
    """A number and its 95 % interval."""

    value: float
    low: float
    high: float


class Ratio(Value):
    """How many times the first is the second, with its 95 % interval."""

    value: float
    low: float
    high: float

    @property
    def margin(self) -> float:
        """The share by which either end of the interval is off one, the farther one."""
        return max(1 / self.low, self.low, self.high, 1 / self.high) - 1


class Noise(Value):
    """A/A: the same file against itself, the halves of its sessions taken in turn. No smaller difference is claimed."""

    quiet: Ratio
    p90: Ratio


class Reading(Value):
    """A device's sensors at one moment; None where it has no such sensor, or does not let us read it.

    Frequencies in hertz, temperature in degrees Celsius. `ceiling` is the highest clock that the system allows just
    now; `pressure` the share of the last 10 seconds in which a process waited for a core (PSI); `throttled` what holds
    the processor back now, `occurred` what did since start-up, `throttlings` how often a core was slowed down so far.
    """

    governor: str | None = None
    frequency: float | None = None
    ceiling: float | None = None
    temperature: float | None = None
    throttled: tuple[str, ...] | None = None
    occurred: tuple[str, ...] | None = None
    throttlings: int | None = None
    battery: bool | None = None
    load: float | None = None
    pressure: float | None = None


class Conditions(Value):
    """Under which circumstances an artifact was timed; None where the device does not tell.

    `before` was read before the first session's timed runs, `after` after the last one's. Shares are of the time of all
    sessions that count: `pressure`, in which some process waited for a core; `steal`, taken by a hypervisor; `others`
    are the cores that other programs kept busy. `waited` seconds were spent on cooling down between sessions;
    `repeated` sessions were taken again because they were disturbed, and `refused` ones do not count at all.
    """

    runtime: str
    version: str
    kernel: str
    model: str
    threads: int
    affinity: tuple[int, ...] | None = None
    nice: int | None = None
    governor: str | None = None
    precision: str | None = None
    before: Reading
    after: Reading
    hottest: float | None = None
    slowest: float | None = None
    pressure: float | None = None
    steal: float | None = None
    others: float | None = None
    waited: float = 0.0
    sessions: int
    repeated: tuple[str, ...] = ()
    refused: tuple[str, ...] = ()


class Minute(Value):
    """One minute of sustained load in one process: latencies in seconds, temperature and clock at its end."""

    runs: int
    quiet: float
    p50: float
    p90: float
    temperature: float | None = None
    frequency: float | None = None


class Soak(Value):
    """Sustained load: every minute, and how many times the last one's p90 is the first one's."""

    minutes: tuple[Minute, ...]
    slowdown: Ratio
    why: str = ""


class Energy(Value):
    """Joules of one inference over the idle device, as `source` tells; None with the reason where there is no meter."""

    joules: float | None = None
    idle: float | None = None
    busy: float | None = None
    rate: float | None = None
    inferences: int = 0
    source: str = ""
    why: str = ""
