"""A real browser: builds for it, every way to open the page, and phones that leave, return or come too many.

Needs Chromium and the runtimes for browsers: edgekd doctor --at browser --provision.
"""

import json
import re
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any, ClassVar

import psutil
import pytest

from edgekd.devices import _npm
from tests.e2e import toy

CHROMIUM = next(filter(None, map(shutil.which, ("chromium", "chromium-browser", "google-chrome"))), None)
ABSENT = "chromium is not here" if CHROMIUM is None else "" if len(_npm.versions()) == 2 else "runtimes not fetched"
WEB = str(_npm.folder())
FLAGS = ("--no-sandbox", "--disable-quic", "--no-first-run", "--disable-background-networking", "--disable-sync")
# A name that is not this computer's own: a page of it is not secure, so that it is not isolated.
ELSEWHERE = "phone.test"

pytestmark = [pytest.mark.slow, pytest.mark.skipif(bool(ABSENT), reason=ABSENT or "-")]


@pytest.fixture(scope="module")
def chromium() -> Iterator[Any]:
    from playwright.sync_api import sync_playwright  # noqa: PLC0415 - where there is no browser it is not needed

    rules = f"--host-resolver-rules=MAP {ELSEWHERE} 127.0.0.1"
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=CHROMIUM, args=[*FLAGS, rules])
        yield browser, playwright.devices
        browser.close()


@pytest.fixture
def context(chromium: Any) -> Iterator[Any]:
    made = chromium[0].new_context(ignore_https_errors=True)
    yield made
    made.close()


@pytest.fixture(autouse=True)
def none_left() -> Iterator[None]:
    """A command of a test that failed must not keep the next one from its browser."""
    yield
    while Command.living:
        process = Command.living.pop()
        if process.poll() is None:
            process.kill()
        process.communicate()


class Command:
    """An edgekd command that serves pages: its addresses, and what it said in the end."""

    living: ClassVar[list[subprocess.Popen[str]]] = []

    def __init__(self, home: Path, *arguments: str, pages: int = 1) -> None:
        self.said = home / "page-said.txt"
        env = toy.environment(home) | {"EDGEKD_WEB": WEB}
        with self.said.open("w") as said:
            self.process = subprocess.Popen(
                [sys.executable, "-m", "edgekd", *arguments],
                cwd=home,
                env=env,
                stdout=subprocess.PIPE,
                stderr=said,
                text=True,
            )
        self.living.append(self.process)
        assert toy.soon(lambda: len(self.addresses()) == pages or self.process.poll() is not None, 60)
        assert self.process.poll() is None, self.said.read_text()

    def addresses(self) -> list[str]:
        return re.findall(r"open (https?://\S+) in the browser", self.said.read_text())

    def end(self, timeout: float = 120) -> tuple[int, str]:
        """Exit status and standard output."""
        out, _ = self.process.communicate(timeout=timeout)
        assert "Traceback" not in self.said.read_text(), self.said.read_text()
        return self.process.returncode, out


def bench(home: Path, bundle: str, *more: str, pages: int = 1) -> Command:
    at = () if "--at" in more else ("--at", "browser=127.0.0.1")
    return Command(home, "bench", bundle, *at, "--bench", "quick", "--json", *more, pages=pages)


def state(page: Any, text: str, seconds: float = 30) -> None:
    """Wait until the page says something."""
    page.wait_for_function("(text) => document.body.innerText.includes(text)", arg=text, timeout=1000 * seconds)


@pytest.fixture(scope="module")
def built(finished: Path, chromium: Any, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A home with a run of the toy for both runtimes of browsers, made in a real one."""
    home = tmp_path_factory.mktemp("browser")
    toy.copy(finished / "store", home)
    targets = ("--target", "onnx@browser", "--target", "tflite@browser", "--at", "browser=127.0.0.1")
    limits = ("--precision", "float32", "--max-params", "2k", "--bench", "quick", "--out", str(home / "run"))
    command = Command(home, "build", str(finished / "task/toy.toml"), *targets, *limits)
    page = chromium[0].new_page()
    page.goto(command.addresses()[0])
    status, said = command.end(500)
    assert status in (0, 4), said + command.said.read_text()
    state(page, "Done")
    page.close()
    return home


def test_a_build_is_measured_and_judged_in_the_browser(built: Path) -> None:
    report = toy.report(built)
    assert set(report["bundles"]) == {"onnx@browser", "tflite@browser"}
    for row in report["rows"]:
        assert row["measurement"]["basis"] == "measured" and row["score"]["basis"] == "measured", row["notes"]
        assert "Chrome" in row["measurement"]["device"]["name"]
        assert row["score"]["parity"]["passed"]
        assert row["measurement"]["memory"] is None and "does not tell" in row["measurement"]["why"]
    lite = json.loads((built / "run/tflite-at-browser/signature.json").read_text())
    assert {spec["shape"][0] for spec in lite["inputs"]} == {1}
    told = toy.ask("verify", "run/tflite-at-browser", "run/onnx-at-browser", home=built)
    assert told.returncode == 0, told.stdout


@pytest.mark.parametrize("format", ["onnx", "tflite"])
@pytest.mark.parametrize("threads", ["1", "2"])
def test_a_bundle_is_replayed_judged_and_timed(built: Path, context: Any, format: str, threads: str) -> None:
    command = bench(built, f"run/{format}-at-browser", "--threads", threads)
    context.new_page().goto(command.addresses()[0])
    status, out = command.end()
    told = json.loads(out)
    assert status in (0, 4), out
    assert told["replayed"]["difference"] <= told["replayed"]["tolerance"]
    assert told["replayed"]["samples"] == 80 and told["replayed"]["agreement"] == 1.0
    latency, device = told["measurement"]["latency"], told["measurement"]["device"]
    assert latency["threads"] == int(threads) and 0 < latency["quiet"] <= latency["p90"]
    assert ", page isolated, up to" in device["system"] and told["report"].endswith("report.html")
    report = toy.report(built)
    assert report["elsewhere"][-1]["target"] == f"{format}@browser"
    assert "On other devices, since" in (built / "run/report.html").read_text()


def test_a_page_that_is_not_isolated_has_one_thread_and_a_coarse_clock(built: Path, context: Any) -> None:
    command = bench(built, "run/onnx-at-browser")
    context.new_page().goto(command.addresses()[0].replace("127.0.0.1", ELSEWHERE))
    told = json.loads(command.end()[1])
    assert ", page not isolated, up to 1 thread" in told["measurement"]["device"]["system"]
    assert "since the clock there steps by 0.0001 s" in told["measurement"]["latency"]["why"]
    assert told["replayed"]["agreement"] == 1.0
    refused = bench(built, "run/onnx-at-browser", "--threads", "2")
    context.new_page().goto(refused.addresses()[0].replace("127.0.0.1", ELSEWHERE))
    status, out = refused.end()
    assert status == 4 and "--https" in json.loads(out)["measurement"]["why"]


@pytest.mark.skipif(not shutil.which("openssl"), reason="openssl is not here")
def test_https_isolates_the_page_of_another_computer(built: Path, context: Any) -> None:
    command = bench(built, "run/tflite-at-browser", "--https", "--threads", "2")
    address = command.addresses()[0].replace("127.0.0.1", ELSEWHERE)
    assert address.startswith("https://") and "does not know the certificate" in command.said.read_text()
    context.new_page().goto(address)
    told = json.loads(command.end()[1])
    assert "page isolated" in told["measurement"]["device"]["system"] and told["measurement"]["latency"]["threads"] == 2


def test_a_phone_is_named_and_the_page_fits_its_screen(built: Path, chromium: Any) -> None:
    browser, devices = chromium
    context = browser.new_context(**devices["Pixel 7"], color_scheme="dark")
    page = context.new_page()
    command = bench(built, "run/onnx-at-browser")
    page.goto(command.addresses()[0])
    context.new_cdp_session(page).send("Emulation.setCPUThrottlingRate", {"rate": 4})
    status, out = command.end()
    assert status in (0, 4) and "Pixel 7" in json.loads(out)["measurement"]["device"]["name"]
    state(page, "Done")
    assert page.evaluate("document.documentElement.scrollWidth <= innerWidth")
    dark = page.evaluate("getComputedStyle(document.body).backgroundColor")
    page.emulate_media(color_scheme="light")
    assert page.evaluate("getComputedStyle(document.body).backgroundColor") != dark
    context.close()


def test_a_reload_in_mid_run_costs_time_and_nothing_else(built: Path, context: Any) -> None:
    command = bench(built, "run/onnx-at-browser")
    page = context.new_page()
    page.goto(command.addresses()[0])
    state(page, "Timing")
    page.reload()
    status, out = command.end()
    assert status in (0, 4) and json.loads(out)["measurement"]["basis"] == "measured", out
    assert "the browser was lost. Open the page again" in command.said.read_text() or "ms" in page.inner_text("main")


def test_a_command_that_is_gone_is_told_on_the_page(built: Path, context: Any) -> None:
    command = bench(built, "run/onnx-at-browser", "--bench", "reportable")
    page = context.new_page()
    page.goto(command.addresses()[0])
    state(page, "Timing")
    (server,) = psutil.Process(command.process.pid).children()
    command.process.send_signal(signal.SIGKILL)
    command.process.wait()
    state(page, "Ended on the computer")
    assert toy.soon(lambda: not server.is_running())
    assert toy.soon(lambda: not list(toy.processes(built))), [one.cmdline() for one in toy.processes(built)]


def test_a_computer_that_is_gone_is_told_on_the_page(built: Path, context: Any) -> None:
    command = bench(built, "run/onnx-at-browser", "--bench", "reportable")
    page = context.new_page()
    page.goto(command.addresses()[0])
    state(page, "Timing")
    (server,) = psutil.Process(command.process.pid).children()
    server.kill()
    state(page, "The computer does not answer")
    status, out = command.end(60)
    assert status == 4 and "only while a command of edgekd serves its page" in out


def test_ctrl_c_ends_it_and_says_so_on_the_page(built: Path, context: Any) -> None:
    command = bench(built, "run/onnx-at-browser", "--bench", "reportable")
    page = context.new_page()
    page.goto(command.addresses()[0])
    state(page, "Timing")
    command.process.send_signal(signal.SIGINT)
    assert command.end(30)[0] == 130
    state(page, "Ended on the computer")
    assert "You may close this page" in page.inner_text("main")


def test_two_phones_are_measured_at_once_and_a_third_is_told(built: Path, chromium: Any) -> None:
    at = ("--at", "browser=127.0.0.1", "--at", "tablet=browser:127.0.0.1")
    command = bench(built, "run/onnx-at-browser", *at, pages=2)
    addresses, contexts = command.addresses(), [chromium[0].new_context() for _ in range(3)]
    opened = [context.new_page() for context in contexts]
    for page, address in zip(opened, (*addresses, addresses[0]), strict=True):
        page.goto(address)
        time.sleep(0.5)
    state(opened[2], "Another browser opened this address")
    told = json.loads(command.end()[1])
    assert {one["at"] for one in told} == {"browser", "tablet"}
    assert all(one["measurement"]["basis"] == "measured" for one in told)
    for context in contexts:
        context.close()


def test_a_wrong_token_opens_nothing(built: Path, context: Any) -> None:
    command = bench(built, "run/onnx-at-browser")
    page = context.new_page()
    wrong = re.sub(r"/[^/]+/$", "/not-the-token-000/", command.addresses()[0])
    assert page.goto(wrong).status == 404 and "edgekd" not in page.content()
    page.goto(command.addresses()[0])
    assert command.end()[0] in (0, 4)
