"""Reads targets as people write them: FORMAT[@DEVICE], "tflite,onnx", "litert"; formats have their own aliases."""

from collections.abc import Mapping, Sequence
from pathlib import Path

from edgekd import plugins
from edgekd.catalog import Entry, Page, Table, addresses, card, cards, config_folder, read_page
from edgekd.errors import Problem, UsageError
from edgekd.mistakes import Gather, nearest
from edgekd.recipes.flags import Flags
from edgekd.recipes.parsing import parse
from edgekd.spec import Budget, Choice, Device, Target

THIS_COMPUTER, BROWSER, PHONE = "this-computer", "browser", "adb"
# Ways to reach a device that need no card: --at NAME=browser, --at NAME=adb:SERIAL.
REACHES = (BROWSER, PHONE)
OWN_KEYS = ("precision", "ranges", "input", "runtime", "threads")
TARGET_KEYS = (*OWN_KEYS, *Budget.model_fields)
HINTS = {
    "android": "Android apps run TFLite files: write tflite; tflite@android measures on a phone",
    "ios": "For iPhones write coreml; on Linux it is converted but cannot be timed",
    "iphone": "For iPhones write coreml; on Linux it is converted but cannot be timed",
    "torch": "Training is done with torch; what ships is one of the formats",
    "pytorch": "Training is done with torch; what ships is one of the formats",
}


def split(texts: Sequence[str]) -> tuple[str, ...]:
    """ "tflite,onnx" and repeated flags as one list, each once."""
    return tuple(dict.fromkeys(name.strip() for text in texts for name in text.split(",") if name.strip()))


def value(page: Page, table: str, key: str, default: object = None) -> object:
    """One value of a card, or its default."""
    entry = page.tables.get(table, {}).get(key)
    return default if entry is None else entry.value


def read_format(text: str, where: str) -> str:
    """The name of a format however it is written; raises UsageError with the nearest one, or a hint."""
    known = plugins.names("formats")
    aliases = {alias: name for name in known for alias in plugins.declared("formats", name).aliases}
    aliases |= {name: name for name in known}
    word = text.strip().lower()
    if word in aliases:
        return aliases[word]
    if word in HINTS:
        raise UsageError(Problem(where, f"{text!r} is not a file format", HINTS[word]))
    if word in cards("devices"):
        raise UsageError(Problem(where, f"{text!r} is a device", f"Write the format first, for example tflite@{word}"))
    hint = nearest(word, aliases)
    hint = hint if hint.startswith("Did") else f"Choose from: {', '.join(known)}"
    raise UsageError(Problem(where, f"there is no target {text!r}", hint))


def read_device(name: str, at: Mapping[str, str], where: str) -> Device:
    """A device by the name of its card; raises UsageError where it is unknown or cannot be reached by this version."""
    if name == THIS_COMPUTER:
        return Device()
    page = read_page(card("devices", name, where))
    reach = str(value(page, "device", "reach", ""))
    if not reach:
        raise UsageError(Problem(page.where("[device] reach"), "is missing", 'Write for example reach = "ssh"'))
    if reach not in plugins.names("devices"):
        message = f"measuring on {name} needs the {reach} device, which this version does not have yet"
        hint = "Build for this computer by leaving out what follows the @; its numbers are not the board's"
        raise UsageError(Problem(where, message, hint))
    settings = {k: entry.value for k, entry in page.tables["device"].items() if k not in ("reach", "formats")}
    return board(name, Choice(name=reach, settings=settings), at, where)


def board(name: str, reach: Choice, at: Mapping[str, str], where: str) -> Device:
    """A device with its address. Raises UsageError where it needs one and has none, or one that is none."""
    example, address = plugins.declared("devices", reach.name).address, at.get(name, "")
    if example and not address:
        hint = f"Write for example --at {name}={example}, or put it under [at] in {config_folder() / 'config.toml'}"
        raise UsageError(Problem(where, f"{name} has no address", hint))
    if address.startswith("-") or any(not sign.isprintable() or sign.isspace() for sign in address):
        raise UsageError(Problem("--at", f"{address!r} is no address of {name}", f"Write for example {example}"))
    return Device(name=name, reach=reach, address=address)


def read_boards(texts: Sequence[str], https: bool = False) -> tuple[Device, ...]:
    """Devices of NAME=ADDRESS: by their cards where there are such, else boards reached by ssh. Raises UsageError.

    NAME=browser (or NAME=browser:HOST:PORT, where its page is served) is one more browser, NAME=adb (or
    NAME=adb:SERIAL) a phone, and a device that needs no address may be named alone.
    """
    gather, known = Gather(), cards("devices")
    found: list[Device | None] = []
    names: list[str] = []
    for text in texts:
        name, _, address = (part.strip() for part in text.partition("="))
        names.append(name)
        if name == THIS_COMPUTER and not address:
            found.append(Device())
        elif address.partition(":")[0] in REACHES:
            reach, _, place = address.partition(":")
            found.append(gather.attempt(board, name, Choice(name=reach), {name: place}, "--at"))
        elif name in known and (address or _alone(known[name])):
            found.append(gather.attempt(read_device, name, {name: address}, "--at"))
        elif not (name and address):
            hint = "Write for example --at raspberry-pi-5=pi@raspberrypi.local"
            gather.problems.append(Problem("--at", f"{text!r} is not NAME=ADDRESS", hint))
        else:
            found.append(gather.attempt(board, name, Choice(name="ssh"), {name: address}, "--at"))
    for name in sorted({name for name in names if name and names.count(name) > 1}):
        gather.problems.append(Problem("--at", f"two devices are called {name!r}", "Give each a name of its own"))
    gather.check()
    devices = tuple(device for device in found if device)
    return secured(devices) if https else devices


def secured(devices: Sequence[Device]) -> tuple[Device, ...]:
    """The devices with pages that are served by https. Raises UsageError where none is a browser."""
    if all(device.reach.name != BROWSER for device in devices):
        hint = "Name one (--at browser, or --target onnx@browser), or leave it out"
        raise UsageError(Problem("--https", "is for browsers, and none is to be measured", hint))
    return tuple(_secured(device) if device.reach.name == BROWSER else device for device in devices)


def _secured(device: Device) -> Device:
    reach = device.reach.model_copy(update={"settings": {**device.reach.settings, "https": True}})
    return device.model_copy(update={"reach": reach})


def _alone(card: Path) -> bool:
    """Whether a card's device needs no address."""
    reach = str(value(read_page(card), "device", "reach", ""))
    return reach in plugins.names("devices") and not plugins.declared("devices", reach).address


def read_name(text: str, at: Mapping[str, str], where: str) -> tuple[str, Device]:
    """FORMAT[@DEVICE] as (format, device); raises UsageError for both halves at once."""
    left, at_sign, right = text.partition("@")
    gather = Gather()
    format_name = gather.attempt(read_format, left, where)
    device = gather.attempt(read_device, right.strip() or ("" if at_sign else THIS_COMPUTER), at, where)
    gather.check()
    assert format_name is not None and device is not None
    if format_name in plugins.declared("devices", device.reach.name).silent:
        message = f"{text.strip()} cannot be judged: the program that runs {format_name} there tells no outputs"
        hint = f"Build for this computer, then: edgekd bench BUNDLE --at {device.name}"
        raise UsageError(Problem(where, message, hint))
    return format_name, device


def read_addresses(flags: Sequence[str]) -> dict[str, str]:
    """Addresses from the user's config, then from --at NAME=ADDRESS; raises UsageError for what is not that."""
    found, gather = addresses(), Gather()
    for text in flags:
        name, equals, address = text.partition("=")
        if not (name and equals and address):
            hint = "Write for example --at raspberry-pi-5=pi@raspberrypi.local"
            gather.problems.append(Problem("--at", f"{text!r} is not NAME=ADDRESS", hint))
        else:
            gather.attempt(card, "devices", name.strip(), "--at")
            found[name.strip()] = address.strip()
    gather.check()
    return found


def read_targets(page: Page, flags: Flags, at: Mapping[str, str], complete: bool) -> tuple[Target, ...]:
    """Targets of the flags, or of the page where no flag names one; flags win over what the page says of a target."""
    gather, over = Gather(), flags.table(TARGET_KEYS)
    written = list(page.lists.get("target", ()))
    written += [page.tables["target"]] if "target" in page.tables else []
    if flags.target:
        asked = _once([{"format": Entry(name, "--target", Path.cwd())} for name in split(flags.target)], at)
        names = {_target_name(gather, table, at): table for table in written}
        written = [names.get(_target_name(gather, table, at), {}) | table for table in asked]
        written = [{key: entry for key, entry in table.items() if key != "device"} for table in written]
    elif not written:
        gather.attempt(parse, Target, over, OWN_KEYS, {"name": "", "format": ""})
        gather.attempt(parse, Budget, over, Budget.model_fields)
        if complete:
            gather.problems.append(Problem("--target", "no target is named", "Write for example --target tflite"))
    found = [gather.attempt(read_target, table | over, page.where("[[target]]"), at) for table in written]
    names_found = [target.name for target in found if target]
    twice = sorted({name for name in names_found if names_found.count(name) > 1})
    gather.problems += [Problem(page.where("[[target]]"), f"{name} is named twice", "Keep one") for name in twice]
    gather.check()
    targets = tuple(target for target in found if target)
    if not flags.https:
        return targets
    devices = secured([target.device for target in targets])
    return tuple(target.model_copy(update={"device": device}) for target, device in zip(targets, devices, strict=True))


def full_name(format_name: str, device: Device) -> str:
    """A target's name as it is always written: FORMAT, or FORMAT@DEVICE beyond this computer."""
    return format_name if device.name == THIS_COMPUTER else f"{format_name}@{device.name}"


def _once(asked: Sequence[Table], at: Mapping[str, str]) -> list[Table]:
    """Each target once, under whatever names it was asked for; those that cannot be read stay, to be told of."""
    names = [_target_name(Gather(), table, at) for table in asked]
    return [table for i, table in enumerate(asked) if names[i] is None or names[i] not in names[:i]]


def _target_name(gather: Gather, table: Table, at: Mapping[str, str]) -> str | None:
    chosen = gather.attempt(_format_on_device, table, "", at)
    return full_name(*chosen) if chosen else None


def _format_on_device(table: Table, where: str, at: Mapping[str, str]) -> tuple[str, Device]:
    """What a target's table says of format and device, in one key or in two."""
    if "format" not in table:
        raise UsageError(Problem(where, "format is missing", 'Write for example format = "tflite"'))
    text = str(table["format"].value)
    if "device" in table and table["device"].value != THIS_COMPUTER:
        text = f"{text}@{table['device'].value}"
    return read_name(text, at, table["format"].where)


def read_target(table: Table, where: str, at: Mapping[str, str]) -> Target:
    """One target with its budget."""
    gather = Gather()
    for key in [key for key in table if key not in ("format", "device", *TARGET_KEYS)]:
        hint = nearest(key, ("format", "device", *TARGET_KEYS))
        gather.problems.append(Problem(table[key].where, "is not a known key", hint))
    chosen = gather.attempt(_format_on_device, table, where, at)
    budget = gather.attempt(parse, Budget, table, Budget.model_fields)
    format_name, device = chosen or ("", Device())
    name = full_name(format_name, device)
    more = {"name": name, "format": format_name, "device": device, "budget": budget or Budget()}
    target = gather.attempt(parse, Target, table, OWN_KEYS, more)
    if target and format_name:
        declared = plugins.declared("formats", format_name)
        if target.precision not in (*declared.precisions, "auto"):
            why = declared.lacks.get(target.precision)
            message = f"{format_name} has no {target.precision}{f': {why}' if why else ''}"
            hint = f"It has: {', '.join(declared.precisions)}"
            gather.problems.append(Problem(table["precision"].where, message, hint))
        if target.ranges not in declared.ranges:
            message = f"{format_name} does not find ranges by {target.ranges}"
            hint = f"It does by: {', '.join(declared.ranges)}"
            gather.problems.append(Problem(table["ranges"].where, message, hint))
        target = gather.attempt(_with_runtime, _of_device(target, table), table)
        target = gather.attempt(_held, target, table) if target else None
    gather.check()
    assert target is not None
    return target


def _of_device(target: Target, table: Table) -> Target:
    """The target with what its device says of runtime and precision where the user does not."""
    device = plugins.declared("devices", target.device.reach.name)
    usual = {"runtime": device.runs.get(target.format, ""), "precision": device.precision}
    return target.model_copy(update={key: value for key, value in usual.items() if key not in table})


def _held(target: Target, table: Table) -> Target:
    """The target; UsageError for limits that nothing on its device can be held against."""
    device = plugins.declared("devices", target.device.reach.name)
    wrong = {}
    if device.untimed:
        wrong["max_latency"] = device.untimed, "Leave it out, and time the model on the board by its self-test"
    if device.runs:
        wrong["max_memory"] = "the memory of a microcontroller is its arena", "Write --max-arena"
    else:
        wrong["max_arena"] = f"{target.name} is no microcontroller", "Write --max-memory, or --target tflite@micro"
        wrong["max_flash"] = f"{target.name} is no microcontroller", "Write --max-size, or --target tflite@micro"
    problems = [Problem(table[key].where, *why) for key, why in wrong.items() if key in table]
    if problems:
        raise UsageError(*problems)
    return target


def _with_runtime(target: Target, table: Table) -> Target:
    """The target with its runtime, empty for the format's own; UsageError for one that would run its files wrongly."""
    if not target.runtime:
        return target
    own, others = plugins.declared("runtimes", target.format).packages[:1], plugins.alternatives(target.format)
    if target.runtime in own:
        return target.model_copy(update={"runtime": ""})
    where = table["runtime"].where if "runtime" in table else table["format"].where
    if target.runtime not in others:
        hint = nearest(target.runtime, (*own, *others))
        raise UsageError(Problem(where, f"nothing of edgekd runs {target.format} by {target.runtime!r}", hint))
    lacks = others[target.runtime].lacks
    if target.precision in lacks:
        raise UsageError(Problem(where, lacks[target.precision]))
    return target
