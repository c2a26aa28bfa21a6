"""A pretend page: a client that speaks what page.js speaks, so that the server's own promises can be tested quickly.

What a real browser makes of page.js and worker.js is tested by tests/e2e/test_browser.py.
"""

import asyncio
import json
from collections.abc import Awaitable, Callable
from concurrent.futures import Future, ThreadPoolExecutor
from pathlib import Path
from typing import Any

import aiohttp
import numpy as np

from edgekd.devices import _npm

FACTS = {
    "agent": "Mozilla/5.0 (Linux; Android 14; Pixel 7) AppleWebKit/537.36 (KHTML, like Gecko) "
    "Chrome/120.0.0.0 Mobile Safari/537.36",
    "data": None,
    "cores": 8,
    "memory": 8,
    "screen": [412, 915],
    "secure": False,
    "isolated": False,
    "threads": 1,
    "gpu": False,
}
Job = dict[str, Any]
Respond = Callable[["Page", Job], Awaitable[dict[str, Any] | None]]


def packages(folder: Path) -> None:
    """Empty files in the places of the runtimes, which no test here runs."""
    for package in _npm.PACKAGES:
        for name in package.keeps.values():
            path = folder / _npm.kept(package).name / name
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_bytes(b"pretend")


class Page:
    """One browser: its cookies, and whatever it asks for."""

    def __init__(self, address: str, session: aiohttp.ClientSession) -> None:
        self.address, self.session = address, session

    async def get(self, path: str) -> tuple[int, bytes]:
        async with self.session.get(self.address + path) as response:
            return response.status, await response.read()

    async def post(self, path: str, body: bytes, told: list[dict[str, Any]]) -> tuple[int, str]:
        headers = {"X-Outputs": json.dumps(told)}
        async with self.session.post(self.address + path, data=body, headers=headers) as response:
            return response.status, await response.text()

    async def connected(self, respond: Respond, running: int | None = None, jobs: int = 100) -> tuple[int, str]:
        """Open the socket and answer jobs until it is closed, or drop it after so many; the code and reason."""
        await self.get("")
        async with self.session.ws_connect(f"{self.address}socket") as socket:
            await socket.send_json({"kind": "hello", "facts": FACTS, "running": running})
            async for message in socket:
                job = message.json()
                if job["kind"] == "bye":
                    continue
                jobs -= 1
                answer = await respond(self, job)
                if jobs <= 0:
                    return 0, "dropped"
                if answer is not None:
                    await socket.send_json({"kind": "answer", "number": job["number"], "answer": answer})
            return socket.close_code or 0, ""


def browse(address: str, visit: Callable[[Page], Awaitable[Any]]) -> Future[Any]:
    """Let a browser of its own do something with an address, beside the test."""

    async def whole() -> Any:
        jar = aiohttp.CookieJar(unsafe=True)  # cookies of an address in numbers
        async with aiohttp.ClientSession(cookie_jar=jar) as session:
            return await visit(Page(address, session))

    return ThreadPoolExecutor(1).submit(lambda: asyncio.run(whole()))


async def inputs(page: Page, job: Job, start: int, stop: int) -> list[np.ndarray[Any, Any]]:
    """Samples of a job as a worker gets them."""
    status, body = await page.get(f"job/{job['number']}/inputs?start={start}&stop={stop}")
    assert status == 200, body
    found, offset = [], 0
    for one in job["inputs"]:
        shape = (stop - start, *one["shape"])
        size = int(np.prod(shape)) * np.dtype(one["dtype"]).itemsize
        found.append(np.frombuffer(body[offset : offset + size], one["dtype"]).reshape(shape))
        offset += size
    assert offset == len(body)
    return found
