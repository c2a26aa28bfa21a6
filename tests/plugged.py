"""Which formats there are, which of them can be made and run here, and why not: so that tests name none of them."""

from importlib import metadata

from edgekd import plugins
from edgekd.runtimes import facts

FORMATS = plugins.names("formats")


def runs(format: str) -> bool:
    """Does the format's runtime work on this system at all, installed or not?"""
    return format in plugins.names("runtimes") and not facts.elsewhere(facts.declared(format))


def absent(format: str) -> str:
    """Why neither side of a format can be tested here; empty where all its packages are installed."""
    for kind in ("formats", "runtimes"):
        declared = plugins.declared(kind, format)
        missing = [package for package in declared.packages if not _installed(package)]
        if missing:
            return f"{format} needs {', '.join(missing)}: {declared.install(missing)}"
    return ""


def missing(kind: str, name: str) -> list[str]:
    """Packages of a plug-in that are not installed."""
    return [package for package in plugins.declared(kind, name).packages if not _installed(package)]


def _installed(package: str) -> bool:
    try:
        return bool(metadata.version(package))
    except metadata.PackageNotFoundError:
        return False
