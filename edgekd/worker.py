"""One step in one process: FOLDER/request.json -> FOLDER/result.json or error.json.

    python -m edgekd.worker FOLDER              run that one step; this is also how to repeat a failed step by hand
    python -m edgekd.worker --serve MODULE...   import the modules once, then fork a worker for each request

A worker ends when the process that started it is gone: it watches a pipe that only that process holds open.
"""

import json
import os
import selectors
import signal
import sys
import tempfile
import threading
import traceback
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from edgekd import files, plugins, steps
from edgekd.errors import EdgekdError, UsageError
from edgekd.workspace import Workspace

STEPS: dict[str, type[steps.Step[Any]]] = {
    value.stage: value
    for value in vars(steps).values()
    if isinstance(value, type) and issubclass(value, steps.Step) and "stage" in vars(value)
}


def answer(folder: Path) -> int:
    """Run the step that request.json asks for and write its result or its error; returns the exit status."""
    request = json.loads((folder / "request.json").read_text(encoding="utf-8"))
    out = Workspace(folder, Path(request["entries"]), request["key"], resumed=request["resumed"])
    os.chdir(folder)
    try:
        step = STEPS[request["stage"]].model_validate(request["step"])
        result = plugins.find("stages", request["stage"]).run(step, out)
    except UsageError as error:
        problems = [{"where": p.where, "message": p.message, "hint": p.hint} for p in error.problems]
        files.write(folder / "error.json", json.dumps({"problems": problems, "kind": type(error).__name__}))
        return error.exit_status
    except EdgekdError as error:
        told = {"message": str(error), "exit": error.exit_status, "kind": type(error).__name__}
        files.write(folder / "error.json", json.dumps(told))
        return error.exit_status
    except BaseException as error:  # whatever it was, the parent must hear of it; it is shown, never swallowed
        traceback.print_exc()
        files.write(folder / "error.json", json.dumps({"message": f"{type(error).__name__}: {error}", "exit": 1}))
        return 1
    files.write(folder / "result.json", result.model_dump_json())
    return 0


def watch(pipe: int) -> None:
    """End this process and all that it started as soon as the other end of `pipe` is closed."""

    def wait() -> None:
        while os.read(pipe, 1):
            pass
        os.killpg(0, signal.SIGKILL)

    threading.Thread(target=wait, daemon=True).start()


def run(folder: Path) -> None:
    """Be the worker of one step and end."""
    status = answer(folder)
    sys.stdout.flush()
    sys.stderr.flush()
    os._exit(status)  # converters leave threads and exit hooks behind that may hang or crash


def _fork(folder: Path, temporary: str, alive: tuple[int, int], replies: int) -> int:
    """Fork a worker with its own process group, output file, temporary folder and life line; returns its process id."""
    child = os.fork()
    if child:
        return child
    os.setsid()
    signal.set_wakeup_fd(-1)
    signal.signal(signal.SIGCHLD, signal.SIG_DFL)
    os.close(alive[1])
    os.close(replies)
    log = os.open(folder / "log.txt", os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o644)
    nothing = os.open(os.devnull, os.O_RDONLY)
    for source, target in ((nothing, 0), (log, 1), (log, 2)):
        os.dup2(source, target)
    os.environ["TMPDIR"] = tempfile.tempdir = temporary
    watch(alive[0])
    run(folder)
    return 0


def serve(modules: Sequence[str]) -> None:
    """Fork a worker for each folder named on stdin; report its pid and exit as JSON lines on stdout."""
    for name in modules:
        kind, _, plugin = name.removeprefix("edgekd.").partition(".")
        plugins.find(kind, plugin)
    replies = os.dup(1)
    os.dup2(2, 1)  # what a library prints must not mix with the replies
    alive, children = os.pipe(), dict[int, str]()

    def tell(**reply: object) -> None:
        os.write(replies, (json.dumps(reply) + "\n").encode())

    wake = os.pipe()
    os.set_blocking(wake[1], False)
    signal.set_wakeup_fd(wake[1])
    signal.signal(signal.SIGCHLD, lambda *_: None)
    poll = selectors.DefaultSelector()
    poll.register(0, selectors.EVENT_READ)
    poll.register(wake[0], selectors.EVENT_READ)
    tell(ready=True)
    rest = b""
    while True:
        for key, _ in poll.select():
            if key.fd == wake[0]:
                os.read(wake[0], 4096)
                continue
            data = os.read(0, 65536)
            if not data:
                for pid in children:
                    os.killpg(pid, signal.SIGKILL)
                return
            *lines, rest = (rest + data).split(b"\n")
            for line in lines:
                folder, temporary = json.loads(line)
                pid = _fork(Path(folder), temporary, alive, replies)
                children[pid] = folder
                tell(folder=folder, pid=pid)
        while children:
            pid, status = os.waitpid(-1, os.WNOHANG)
            if not pid:
                break
            tell(folder=children.pop(pid), exit=os.waitstatus_to_exitcode(status))


def main() -> None:
    """Run one step, or serve."""
    if sys.argv[1] == "--serve":
        serve(sys.argv[2:])
    else:
        if not sys.stdin.isatty() and os.environ.get("EDGEKD_LIFELINE") == "stdin":
            watch(0)
        run(Path(sys.argv[1]).resolve())


if __name__ == "__main__":
    main()
