"""A signature, a student and its training in words, for the pages of a bundle."""

from edgekd import units
from edgekd.results import Confidence, LogMel, Preprocess, Report, Row, Signature, TensorSpec
from edgekd.spec import Architecture, Choice

# What goes wrong in applications, in words, and which check of a self-test sees it.
MISTAKES = {
    "bgr": ("red and blue swapped", "decode"),
    "filter": ("another resize filter, or none that smooths", "decode"),
    "crop": ("squeezed instead of cut", "decode"),
    "exif": ("EXIF orientation ignored", "decode"),
    "alpha": ("transparent parts not put on white", "decode"),
    "mean": ("another mean and std", "prepare"),
    "layout": ("channels (of one: rows) in the wrong place", "prepare"),
    "dtype": ("levels not scaled, or whole numbers", "prepare"),
    "label": ("classes off by one", "answers"),
    "softmax": ("no softmax, two, or another temperature", "answers"),
    "delegate": ("an accelerator that gives the answer of the run before", "model"),
    "truncated": ("a model file that was cut", "files"),
    "other": ("another model", "files"),
}


def is_image(signature: Signature) -> bool:
    """Whether the one input is an image that edgekd knows how to prepare."""
    return len(signature.inputs) == 1 and signature.inputs[0].preprocess is not None


def is_pixels(signature: Signature) -> bool:
    """Whether the one input is an image that the graph prepares itself."""
    return len(signature.inputs) == 1 and signature.inputs[0].inside is not None


def front(signature: Signature) -> str:
    """What the inputs are made of, where edgekd knows how: "sound", "text" or nothing."""
    kinds = {"log-mel": "sound", "tokens": "text"}
    return next((kinds[spec.front_end.kind] for spec in signature.inputs if spec.front_end), "")


def tensor(spec: TensorSpec) -> str:
    """image: float32, any batch x 28 x 28 x 1"""
    shape = " x ".join("any batch" if size == -1 else str(size) for size in spec.shape)
    quantized = spec.scale is not None and not spec.is_raw
    scale = f", quantized: (value - {spec.zero_point or 0}) * {spec.scale:g}" if quantized else ""
    return f"`{spec.name}`: {spec.dtype}, {shape}{scale}"


def columns(signature: Signature) -> str:
    """progression; pressure in mmHg and pulse in 1/min"""
    told = [f"{one.name} in {one.unit}" if one.unit else one.name for one in signature.columns]
    return " and ".join(filter(None, (", ".join(told[:-1]), told[-1])))


def told(signature: Signature) -> str:
    """10 classes; kind (10 classes) and season (2 classes); or the numbers that it tells"""
    if signature.columns:
        return columns(signature)
    if not signature.heads:
        return f"{len(signature.classes)} classes"
    each = [f"{head.name} ({len(head.classes)} classes)" for head in signature.heads]
    return f"{', '.join(each[:-1])} and {each[-1]}"


def answered(signature: Signature) -> str:
    """one of 10 classes; or one of several for each head"""
    if not signature.heads:
        return f"one of {len(signature.classes)} classes"
    return "one class for each head: " + told(signature)


def confidence(one: Confidence) -> str:
    """temperature 1.43: expected calibration error 1.2 % (0.9 to 2.0), 6.1 % without; answers below 62 % are refused"""
    error = (
        f"{units.show_share(one.error.value)} ({units.show_share(one.error.low)} to {units.show_share(one.error.high)})"
    )
    told = (
        f"{one.head + ': ' if one.head else ''}temperature {one.temperature:.3g}: expected calibration error {error}, "
        f"{units.show_share(one.error_before.value)} without"
    )
    if one.threshold is None or one.coverage is None:
        return told + "; every answer is accepted"
    right = f", of which {units.show_share(one.accuracy.value)} are right" if one.accuracy else ""
    return (
        f"{told}; answers below {units.show_share(one.threshold)} are refused: "
        f"{units.show_share(one.coverage)} are accepted{right}"
    )


def steps(spec: TensorSpec) -> tuple[str, ...]:
    """What happens to a sample before the network sees it, in order."""
    how = spec.preprocess
    if spec.front_end is not None:
        return _front_end(spec)
    if how is None:
        return _inside(spec)
    resized = () if how.size == how.canvas else (f"resize to {how.size} x {how.size} pixels ({how.filter})",)
    return (
        "decode; turn as EXIF says; put transparent parts on white",
        f"convert to {'gray' if how.channels == 'gray' else 'RGB'}",
        f"resize the shorter side to {how.canvas} pixels ({how.filter}, antialiased) and cut the central square",
        *resized,
        _scaled(how),
        f"layout {how.layout}",
    )


def _front_end(spec: TensorSpec) -> tuple[str, ...]:
    """What sound or text is put through."""
    how = spec.front_end
    if isinstance(how, LogMel):
        return (
            f"mono, 16 bits, {how.rate} samples a second; {how.samples} samples: the middle, or with silence around",
            f"x / 32768; frames of {how.window}, one every {how.hop}; Hann; |FFT of {how.fft} points| ** 2",
            f"{how.mels} mel triangles from {how.low:g} to {how.high:g} Hz, mel = 2595 log10(1 + Hz / 700)",
            f"ln(power + {how.floor:g})",
        )
    assert how is not None
    return (
        f"ids of the tokenizer `golden/{how.file}` ({how.name}, {how.vocabulary} ids, sha256 {how.sha256[:16]})",
        f"cut or filled up with {how.padding} to {how.length} ids; `{how.mask}` is 1 where an id stands, else 0",
    )


def _scaled(how: Preprocess) -> str:
    mean, std = (", ".join(f"{value:g}" for value in values) for values in (how.mean, how.std))
    return f"channels {how.channels}; (x / 255 - mean) / std with mean {mean} and std {std}"


def _inside(spec: TensorSpec) -> tuple[str, ...]:
    """What a raw input is, and what the graph does to it."""
    how = spec.inside
    if how is None:
        return ("16-bit samples as a microphone gives them", "in the graph: x / 32768") if spec.is_raw else ()
    resized = (
        "" if how.size == how.canvas else f"resize to {how.size} x {how.size} pixels ({how.filter}, antialiased); "
    )
    kind = "gray" if spec.shape[3] == 1 else "RGB"
    return (
        f"{kind} pixels as a camera gives them, levels 0 to 255, upright and without alpha; it was made "
        "for central squares of pictures",
        f"in the graph: {resized}{_scaled(how)}",
    )


def choice(chosen: Choice) -> str:
    """convnet (width 16, depth 2)"""
    settings = ", ".join(f"{name} {value}" for name, value in sorted(chosen.settings.items()))
    return f"{chosen.name} ({settings})" if settings else chosen.name


def architecture(student: Architecture) -> str:
    """The student's family and settings, and what it started from."""
    files = ", ".join(f"{name} sha256 {file.sha256[:16]}" for name, file in sorted(student.family.files.items()))
    return choice(student.family) + (f"; {files}" if files else "")


def origin(row: Row, report: Report) -> str:
    """How the network that ships came to be."""
    if row.role == "control":
        return "trained on labels alone: the student without a teacher was the better one"
    if row.role == "student":
        return f"distilled from the teacher `{report.plan.teacher.source.name}`"
    return "the teacher itself"


def data(report: Report) -> str:
    """Where the data comes from."""
    source = report.plan.data
    named = source.origin or choice(Choice(name=source.source.name))
    labels = "all labels" if source.labels is None else f"{source.labels} labelled samples, the rest unlabelled"
    return f"{named}; {labels}"
