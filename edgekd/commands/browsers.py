"""What this computer needs so that a browser can be measured, and how it comes here once: then all works offline."""

import shutil
from collections.abc import Callable
from importlib.util import find_spec

from edgekd import plugins
from edgekd.commands.doctor import Finding
from edgekd.devices import _npm
from edgekd.spec import Device

# What is imported of each package that serves the page.
MODULES = ("aiohttp", "segno", "ua_parser")
FETCH = "edgekd doctor --at {} --provision"


def examine(device: Device) -> tuple[Finding, ...]:
    """Look for what serves the page, for the runtimes that it runs, and for what https takes."""
    lacking = [name for name in MODULES if find_spec(name) is None]
    fix = plugins.declared("devices", device.reach.name).install(lacking)
    found = [
        Finding(what="page", state="missing", why=f"{', '.join(lacking)} missing", fix=fix)
        if lacking
        else Finding(what="page", state="works", versions="served by this computer")
    ]
    for package in _npm.PACKAGES:
        what = f"{package.runtime}: {package.name}"
        if _npm.there(package):
            found.append(Finding(what=what, state="works", versions=f"{package.version} in {_npm.kept(package)}"))
        else:
            why = f"{package.version} is not in {_npm.folder()}"
            found.append(Finding(what=what, state="missing", why=why, fix=FETCH.format(device.name)))
    if shutil.which("openssl"):
        return (*found, Finding(what="https", state="works", versions="by openssl"))
    return (*found, Finding(what="https", state="missing", why="openssl is not here, which makes its certificate"))


def provision(device: Device, tell: Callable[[str], None]) -> None:
    """Fetch the runtimes that are not here from npm. Raises EdgekdError."""
    for package in _npm.PACKAGES:
        if not _npm.there(package):
            tell(f"{device.name}: fetches {package.name} {package.version} from npm")
            _npm.fetch(package)
