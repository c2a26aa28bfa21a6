"""Stands between edgekd and a browser for as long as a command lasts: a page for one, a socket for the other.

python -m edgekd.devices._relay, with one line of JSON on standard input: `hosts` and `port` to listen at (0: any),
`socket`, the path of a socket for jobs, `accelerator`, `certificate` and `key` (files, for https). It answers with one
line, {"port", "token"}, or {"error"}; lines of {"say"} may follow. It ends when its standard input does.

Whoever knows the token may load the page; the first browser that connects is the device, and no other gets a job or
may post anything. Of this computer it gets the page, the runtimes, and the files of the job that it has just now.
"""

import asyncio
import hmac
import json
import secrets
import signal
import ssl
import sys
from collections.abc import Awaitable, Callable
from contextlib import suppress
from pathlib import Path
from typing import Any

import numpy as np
from aiohttp import WSCloseCode, WSMsgType, web

from edgekd import units
from edgekd.devices import _npm, _told
from edgekd.runtimes.fault import Fault
from edgekd.runtimes.predict import Writer
from edgekd.runtimes.tensors import Samples

PAGE = Path(__file__).with_name("page")
PAGES = ("index.html", "page.js", "page.css", "worker.js")
TYPES = {".html": "text/html", ".css": "text/css", ".js": "text/javascript", ".mjs": "text/javascript"}
COOKIE = "edgekd"
# Most bytes that a browser may post at once, of outputs and of an answer, and most samples of one request.
UPLOAD, ANSWER, SAMPLES = 64 << 20, 8 << 20, 512
# Seconds in which a browser has to open the page first, and to be back after it was lost; how often it may be lost.
FIRST, BACK, LOSSES = 900.0, 90.0, 3
# Close codes from 4000 on are the page's own: it shows the reason and does not try again.
TAKEN, NO_COOKIE = 4003, b"This page needs its cookie, which keeps other browsers out"
ISOLATING = {
    "Cross-Origin-Opener-Policy": "same-origin",
    "Cross-Origin-Embedder-Policy": "require-corp",
    "Cross-Origin-Resource-Policy": "same-origin",
    "Cache-Control": "no-store",
    "Referrer-Policy": "no-referrer",
    "X-Content-Type-Options": "nosniff",
}
# Every job starts a runtime anew, but does not load its megabytes again; its address ends with the command.
KEPT = "private, max-age=86400, immutable"
NOTHING = "There is nothing here"
TITLES = {"clock": "Timing", "predict": "Predicting"}

Answer = dict[str, Any]
Handler = Callable[[web.Request], Awaitable[web.StreamResponse]]


class Gone(Exception):
    """No browser is there, which says nothing about a file."""


class Work:
    """One job that a browser has: what it is told, its samples, and where its outputs go."""

    def __init__(
        self, number: int, request: dict[str, Any], folder: Path, accelerator: str, answer: asyncio.Future[Answer]
    ) -> None:
        signature = request["signature"]
        self.number, self.model = number, folder / request["model"]
        self.samples, self.answer = Samples(request, folder), answer
        wanted = signature["outputs"] if request.get("all") else signature["outputs"][:1]
        self.names = [spec["name"] for spec in wanted]
        self.writers = [Writer(folder / f"outputs-{i}.npy", self.samples.count, spec) for i, spec in enumerate(wanted)]
        self.done = 0
        self.chunk = min(SAMPLES, self.samples.chunk(1))
        first = self.samples.prepare(0, 1)
        protocol = ("seconds", "least", "longest", "most", "longest_warmup", "minutes", "minute")
        self.message = {
            "kind": "job",
            "number": number,
            "verb": request["verb"],
            "title": TITLES[request["verb"]],
            "file": request["model"],
            "runtime": request["runtime"],
            "accelerator": accelerator,
            "threads": request["threads"],
            "base": "./packages/",
            "path": f"./job/{number}",
            "count": self.samples.count,
            "chunk": self.chunk,
            "inputs": [
                {"name": spec["name"], "dtype": str(array.dtype), "shape": list(array.shape[1:])}
                for spec, array in zip(signature["inputs"], first, strict=True)
            ],
            "outputs": self.names,
            **{name: request[name] for name in protocol if name in request},
        }

    def inputs(self, start: int, stop: int) -> bytes:
        """Prepared samples start..stop, input after input."""
        return b"".join(array.tobytes() for array in self.samples.prepare(start, stop))

    def take(self, start: int, stop: int, told: list[dict[str, Any]], body: bytes) -> None:
        """Keep the outputs of samples start..stop: sample after sample, each with its outputs. Raises Fault."""
        kinds = [(np.dtype(str(one["dtype"])), tuple(int(n) for n in one["shape"])) for one in told]
        row = np.dtype([(str(i), dtype, shape) for i, (dtype, shape) in enumerate(kinds)])
        if len(kinds) != len(self.writers) or row.itemsize * (stop - start) != len(body):
            raise Fault("these are not the outputs of the samples")
        if start != self.done:
            raise Fault(f"the outputs of sample {self.done} come next, not those of {start}")
        values = np.frombuffer(body, row)
        for i, writer in enumerate(self.writers):
            writer.add(values[str(i)], stop - start)
        self.done = stop

    def again(self) -> None:
        """Forget what came so far: the browser begins anew."""
        for writer in self.writers:
            writer.restart()
        self.done = 0

    def close(self) -> dict[str, str]:
        """The files of the outputs by name. Raises Fault where samples are missing."""
        if self.done != self.samples.count:
            raise Fault(f"the browser gave outputs of {self.done} samples, not of {self.samples.count}")
        for writer in self.writers:
            writer.close()
        return {name: f"outputs-{i}.npy" for i, name in enumerate(self.names)}


class Relay:
    """The state of it all: which browser is the device, what it said of itself, and the job that it has."""

    def __init__(self, accelerator: str) -> None:
        self.token, self.accelerator = secrets.token_urlsafe(12), accelerator
        self.owner = ""
        self.facts: dict[str, Any] = {}
        self.page: web.WebSocketResponse | None = None
        self.here = asyncio.Event()
        self.left = asyncio.Event()
        self.running: int | None = None
        self.work: Work | None = None
        self.count = 0
        self.turn = asyncio.Lock()
        self.served = _npm.served()

    # The browser's side.

    def routes(self) -> web.Application:
        """The page's server; every path begins with the token, and all else does not exist."""
        app = web.Application(client_max_size=UPLOAD)
        app.router.add_get("/{token}/", self.guarded(self.file))
        app.router.add_get("/{token}/socket", self.guarded(self.socket))
        app.router.add_get("/{token}/job/{number}/model", self.guarded(self.model))
        app.router.add_get("/{token}/job/{number}/inputs", self.guarded(self.inputs))
        app.router.add_post("/{token}/job/{number}/outputs", self.guarded(self.outputs))
        app.router.add_get("/{token}/packages/{path:.+}", self.guarded(self.package))
        app.router.add_get("/{token}/{name}", self.guarded(self.file))
        return app

    def guarded(self, handler: Handler) -> Handler:
        """Only who knows the token is answered; what a handler finds wrong is told in words."""

        async def answer(request: web.Request) -> web.StreamResponse:
            if not hmac.compare_digest(request.match_info["token"].encode(), self.token.encode()):
                return web.Response(status=404, text=NOTHING, headers=ISOLATING)
            try:
                response = await handler(request)
            except web.HTTPException as error:
                error.headers.update(ISOLATING)
                raise
            except (Fault, ValueError, KeyError, TypeError) as error:
                response = web.Response(status=400, text=str(error))
            if not response.prepared:
                for name, value in ISOLATING.items():
                    response.headers.setdefault(name, value)
            return response

        return answer

    async def file(self, request: web.Request) -> web.StreamResponse:
        """One of the page's own files."""
        name = request.match_info.get("name", "index.html")
        if name not in PAGES:
            raise web.HTTPNotFound(text=NOTHING)
        response = web.Response(body=(PAGE / name).read_bytes(), content_type=TYPES[Path(name).suffix], charset="utf-8")
        if name == "index.html" and COOKIE not in request.cookies:
            response.set_cookie(
                COOKIE,
                secrets.token_urlsafe(16),
                path=f"/{self.token}/",
                httponly=True,
                samesite="Strict",
                secure=request.secure,
            )
        return response

    async def package(self, request: web.Request) -> web.StreamResponse:
        """One file of a runtime."""
        path = self.served.get(request.match_info["path"])
        if path is None:
            raise web.HTTPNotFound(text=NOTHING)
        kind = TYPES.get(path.suffix, "application/wasm" if path.suffix == ".wasm" else "application/octet-stream")
        return web.FileResponse(path, headers={**ISOLATING, "Content-Type": kind, "Cache-Control": KEPT})

    def job(self, request: web.Request) -> Work:
        """The job that a request is about, if it comes from the device and the job is the present one."""
        if not self.owner or request.cookies.get(COOKIE) != self.owner:
            raise web.HTTPForbidden(text="Another browser is being measured")
        if self.work is None or request.match_info["number"] != str(self.work.number):
            raise web.HTTPGone(text="This job is over")
        return self.work

    async def model(self, request: web.Request) -> web.StreamResponse:
        """The file of the job."""
        return web.FileResponse(self.job(request).model, headers=ISOLATING)

    async def inputs(self, request: web.Request) -> web.StreamResponse:
        """Prepared samples of the job."""
        work = self.job(request)
        start, stop = _span(request, work.samples.count, max(work.chunk, SAMPLES))
        return web.Response(body=await asyncio.to_thread(work.inputs, start, stop))

    async def outputs(self, request: web.Request) -> web.StreamResponse:
        """What the file gave for some samples."""
        work = self.job(request)
        start, stop = _span(request, work.samples.count, work.chunk)
        told = json.loads(request.headers["X-Outputs"])
        body = await request.read()
        await asyncio.to_thread(work.take, start, stop, told, body)
        return web.Response(text="kept")

    async def socket(self, request: web.Request) -> web.StreamResponse:
        """The connection that a page keeps. The first that connects is the device for good."""
        page = web.WebSocketResponse(heartbeat=10, max_msg_size=ANSWER)
        await page.prepare(request)
        cookie = request.cookies.get(COOKIE, "")
        if not cookie or (self.owner and cookie != self.owner):
            text = (
                b"Another browser opened this address and is being measured" if cookie else b"This page needs cookies"
            )
            await page.close(code=TAKEN, message=text)
            return page
        self.owner = cookie
        if self.page is not None:
            await self.page.close(code=TAKEN, message=b"This page was opened again in another tab")
        self.page = page
        try:
            async for message in page:
                if message.type is WSMsgType.TEXT:
                    self.heard(message.json())
        finally:
            if self.page is page:
                self.page = None
                self.here.clear()
                self.left.set()
        return page

    def heard(self, told: dict[str, Any]) -> None:
        """A word of the device."""
        if told.get("kind") == "hello":
            self.facts, self.running = dict(told["facts"]), told.get("running")
            self.left.clear()
            self.here.set()
            return
        work = self.work
        if work is None or work.answer.done() or told.get("number") != work.number:
            return
        if told.get("kind") == "answer":
            work.answer.set_result(dict(told["answer"]))

    # edgekd's side.

    async def asked(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        """One job of edgekd: a line with folder and seconds, then a line that says how it went."""
        told: dict[str, Any]
        try:
            asked = json.loads(await reader.readline())
            folder = Path(asked["folder"])
            request = json.loads((folder / "request.json").read_text(encoding="utf-8"))
            async with asyncio.timeout(float(asked["timeout"])), self.turn:
                told = {"answer": await self.perform(request, folder)}
        except TimeoutError:
            told = {"error": f"the browser did not answer within {asked['timeout']:.0f} s"}
        except Gone as error:
            told = {"error": str(error), "unreachable": True}
        except Fault as error:
            told = {"error": str(error)}
        except Exception as error:  # whatever a page may say: the command must be answered
            told = {"error": f"what the browser said cannot be used ({type(error).__name__}: {error})"}
        self.work = None
        try:
            writer.write(json.dumps(told).encode() + b"\n")
            await writer.drain()
        finally:
            writer.close()

    async def perform(self, request: dict[str, Any], folder: Path) -> dict[str, Any]:
        """Do what a request asks for. Raises Fault, and Gone where no browser is there."""
        await self.present()
        verb = request["verb"]
        if verb == "facts":
            return _told.facts(self.facts, self.accelerator)
        known = _told.facts(self.facts, self.accelerator)["runtimes"]
        if request["runtime"] not in known:
            raise Fault(f"there is no runtime for {request['runtime']} files in this browser")
        same = {"runtime": request["runtime"], "version": known[request["runtime"]]}
        if verb in _told.UNKNOWN:
            return {**same, **_told.UNKNOWN[verb]}
        allowed = self.facts.get("threads", 1)
        if request["threads"] > allowed:
            why = f"the page may use {allowed} threads" if allowed > 1 else f"one thread only: {_told.UNISOLATED}"
            raise Fault(f"{request['threads']} threads are wanted, but {why}")
        self.count += 1
        future: asyncio.Future[Answer] = asyncio.get_running_loop().create_future()
        self.work = work = await asyncio.to_thread(Work, self.count, request, folder, self.accelerator, future)
        answer = await self.answered(work)
        if "error" in answer:
            raise Fault(f"{request['runtime']} in the browser: {units.plain(answer['error'], 2000)}")
        if verb == "predict":
            return {**same, **_told.predicted(answer, work.samples.count), "outputs": work.close()}
        return {**same, **_told.clocked(answer, self.facts)}

    async def present(self) -> None:
        """Wait until a browser is there: a while for the first time, shorter where it was lost."""
        try:
            async with asyncio.timeout(BACK if self.owner else FIRST):
                await self.here.wait()
        except TimeoutError:
            if self.owner:
                raise Gone(f"the browser was lost, and did not come back within {BACK:.0f} s") from None
            raise Gone(f"no browser opened the page within {FIRST / 60:.0f} minutes") from None

    async def answered(self, work: Work) -> dict[str, Any]:
        """The answer to a job; a browser that was lost and comes back is given it again, or answers what it has."""
        for _ in range(LOSSES):
            await self.present()
            if self.page is not None:
                with suppress(ConnectionError):
                    await self.page.send_json(work.message)
            lost = asyncio.create_task(self.left.wait())
            await asyncio.wait((work.answer, lost), return_when=asyncio.FIRST_COMPLETED)
            lost.cancel()
            if work.answer.done():
                return work.answer.result()
            say("the browser was lost. Open the page again, and it goes on")
            await self.present()
            if self.running != work.number:
                work.again()
        raise Fault(f"the browser was lost {LOSSES} times while it ran this file; it may lack memory")

    async def bye(self) -> None:
        """Tell the page that all is done."""
        if self.page is not None:
            with suppress(ConnectionError):
                await self.page.send_json({"kind": "bye"})
                await self.page.close(code=WSCloseCode.OK)


def _span(request: web.Request, count: int, most: int) -> tuple[int, int]:
    """Which samples a request is about."""
    start, stop = int(request.query["start"]), int(request.query["stop"])
    if not 0 <= start < stop <= count or stop - start > most:
        raise web.HTTPBadRequest(text="There are no such samples")
    return start, stop


def say(text: str) -> None:
    """Tell the command that asked for this."""
    sys.stdout.write(json.dumps({"say": text}) + "\n")
    sys.stdout.flush()


async def serve(asked: dict[str, Any]) -> None:
    """Serve until standard input ends."""
    relay = Relay(asked["accelerator"])
    secure = None
    if asked.get("certificate"):
        secure = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        secure.load_cert_chain(asked["certificate"], asked["key"])
    runner = web.AppRunner(relay.routes(), access_log=None, shutdown_timeout=1.0)
    await runner.setup()
    jobs = None
    try:
        port = int(asked["port"])
        for host in asked["hosts"]:
            site = web.TCPSite(runner, host, port, ssl_context=secure)
            await site.start()
            port = runner.addresses[0][1]
        jobs = await asyncio.start_unix_server(relay.asked, asked["socket"])
        sys.stdout.write(json.dumps({"port": port, "token": relay.token}) + "\n")
        sys.stdout.flush()
        await asyncio.to_thread(sys.stdin.read)
        await relay.bye()
    finally:
        if jobs is not None:
            jobs.close()
        await runner.cleanup()


def main() -> int:
    """Read what is asked for, and serve."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # whoever asked for this decides when it ends
    asked = json.loads(sys.stdin.readline())
    try:
        asyncio.run(serve(asked))
    except OSError as error:
        sys.stdout.write(json.dumps({"error": f"{error.strerror or error}"}) + "\n")
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
