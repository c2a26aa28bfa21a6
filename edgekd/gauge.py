"""What quality is counted in: a metric's name, its unit, and whether more or less of it is better."""

from edgekd import units
from edgekd.spec import Value


class Gauge(Value):
    """The name of a metric and the unit of its values; a `share` of one is shown in percent.

    Of an error, `lower` is better, and it has no largest value: what is lost of it is told as a share of it.
    """

    name: str = "accuracy"
    unit: str = "%"
    share: bool = True
    lower: bool = False

    @property
    def title(self) -> str:
        """The name at the start of a sentence."""
        return self.name[:1].upper() + self.name[1:]

    def good(self, value: float | None) -> float:
        """A number that is larger where the quality is better; of an unknown one the least."""
        if value is None:
            return float("-inf")
        return -value if self.lower else value

    def lost(self, ours: float, theirs: float) -> float:
        """How much worse `ours` is: a difference, or a share of `theirs` where both are errors."""
        if not self.lower:
            return theirs - ours
        return (ours - theirs) / theirs if theirs else (float("inf") if ours else 0.0)

    def show(self, value: float) -> str:
        """0.9123 -> "91.2 %"; 54.321 -> "54.3 mmHg"; an index with three digits."""
        if self.share:
            return units.show_share(value)
        return f"{value:.4g} {self.unit}".rstrip() if self.lower else f"{value:.3f}"

    def bare(self, value: float) -> str:
        """The same without its unit, for the lower end of a span."""
        return self.show(value).removesuffix(self.unit).rstrip()

    def show_gap(self, value: float) -> str:
        """A difference with its sign: -0.0123 -> "-1.2 pp"; 1.234 -> "+1.23 mmHg"."""
        if self.share:
            return units.show_points(value)
        return f"{value:+.3g} {self.unit}".rstrip() if self.lower else f"{value:+.3f}"

    def show_lost(self, value: float) -> str:
        """What was lost, as `lost` tells it: "0.6 pp", "0.012", or of an error "3.1 %"."""
        if self.share:
            return f"{100 * value:.2g} pp"
        return f"{100 * value:.2g} %" if self.lower else f"{value:.2g}"


ACCURACY = Gauge()
