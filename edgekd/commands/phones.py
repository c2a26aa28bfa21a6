"""What a phone that is reached by adb has, and what this computer needs so that files can be timed there."""

from edgekd import plugins, units
from edgekd.commands.doctor import Finding
from edgekd.devices import _adb, _android, adb
from edgekd.results import DeviceFacts
from edgekd.spec import Device

# A model, samples and a benchmark program need this much room.
ROOM = 64 << 20
# Where the programs come from: no package has them.
SOURCES = {
    "tflite": "Download android_aarch64_benchmark_model, see https://ai.google.dev/edge/litert/models/measurement",
    "onnx": "Build it by https://onnxruntime.ai/docs/build/android.html",
}


def examine(device: Device) -> tuple[Finding, ...]:
    """Look at a phone: its system, how warm it is, its room, and the programs that run files. Raises Unreachable."""
    settings = adb.Settings.model_validate(device.reach.settings)
    try:
        phone = adb.session(device)
        facts = adb.probe(settings, device)
        now, room = _android.reading(phone.shell(_android.READING).text), phone.room()
    finally:
        adb.leave(device)
    found = [_system(device, phone, facts), _state(now), _room(room)]
    return (*found, *(_runs(format, settings, facts) for format in adb.TOOLS))


def _system(device: Device, phone: _adb.Phone, facts: DeviceFacts) -> Finding:
    told = f"{facts.model}, {facts.system}, {facts.processor}, {facts.cores} cores, serial {phone.serial}"
    why = f"; it is emulated ({facts.emulated}): files run there, but nothing is timed" if facts.emulated else ""
    return Finding(what=device.name, state="works", versions=told + why)


def _state(now: dict[str, object]) -> Finding:
    """Whether it is as cool as it should be, and where its power comes from."""
    told = [f"{now['temperature']:.0f} degrees Celsius" if now["temperature"] is not None else ""]
    told += [f"thermal status {now['thermal']}" if now["thermal"] else ""]
    told += [f"charged to {now['charge']} %" if now["charge"] is not None else ""]
    text = ", ".join(filter(None, told)) or "it does not tell"
    if now["throttled"]:
        why, fix = "it is throttled, so that nothing that is timed now counts", "Let it cool down"
        return Finding(what="heat", state="broken", versions=text, why=why, fix=fix)
    return Finding(what="heat", state="works", versions=text)


def _room(free: int | None) -> Finding:
    if free is None:
        return Finding(what="room", state="works", versions=f"{_adb.TEMPORARY} does not tell")
    enough = free >= ROOM
    text = f"{units.show_size(free)} free in {_adb.TEMPORARY}"
    return Finding(
        what="room", state="works" if enough else "broken", versions=text, why="" if enough else "little room"
    )


def _runs(format: str, settings: adb.Settings, facts: DeviceFacts) -> Finding:
    """Whether files of a format run there, and where the program that runs them comes from."""
    tool = adb.TOOLS[format]
    what = f"{format}: {'run' if format not in plugins.declared('devices', 'adb').silent else 'time'}"
    if format in facts.runtimes:
        return Finding(what=what, state="works", versions=f"{adb.program(settings, format)} ({facts.runtimes[format]})")
    if adb.program(settings, format) is None:
        fix = f"{SOURCES[format]}; then export {adb.WHERE[format]}=FILE"
        return Finding(what=what, state="missing", why=f"no {tool} is named", fix=fix)
    return Finding(what=what, state="broken", why=facts.missing[format], fix=SOURCES[format])
