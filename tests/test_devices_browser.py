"""Browsers: who is answered, what is believed of what a page says, and what happens when one comes, goes or lies.

The page is a pretend one here (tests/pages.py); tests/e2e/test_browser.py has the real one in a real browser.
"""

import asyncio
import json
import shutil
import ssl
import urllib.error
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import segno

from edgekd.devices import _npm, _told, browser
from edgekd.errors import DeviceError, EdgekdError, Unreachable, UsageError
from edgekd.spec import Choice, Device
from tests import pages, tiny
from tests.pages import FACTS, Job, Page, browse

DEVICE = Device(name="phone", reach=Choice(name="browser"), address="127.0.0.1")
SETTINGS = browser.Settings()
MEANT = np.arange(28, dtype=np.float32).reshape(7, 4)


@pytest.fixture(autouse=True)
def web(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("EDGEKD_WEB", str(tmp_path / "web"))
    monkeypatch.setenv("EDGEKD_LOCKS", str(tmp_path / "locks"))
    pages.packages(tmp_path / "web")


@contextmanager
def serving(settings: browser.Settings = SETTINGS, device: Device = DEVICE) -> Iterator[str]:
    """The address of a page that is served."""
    said: list[str] = []
    with browser.opened(settings, device, said.append):
        yield said[0].split()[2]


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """A job's folder: seven images for the tiny network, all at once."""
    folder = tmp_path / "job"
    folder.mkdir()
    np.save(folder / "image.npy", tiny.samples()["image"])
    (folder / "model.onnx").write_bytes(b"whatever a browser gets")
    ask(folder, "predict")
    return folder


def ask(folder: Path, verb: str, **more: Any) -> None:
    request = {
        "verb": verb,
        "runtime": "onnx",
        "model": "model.onnx",
        "threads": 1,
        "signature": tiny.signature("image"),
        "inputs": {"image": "image.npy"},
        "all": True,
    }
    (folder / "request.json").write_text(json.dumps(request | more))


def run(folder: Path, timeout: float = 20.0) -> dict[str, Any]:
    browser.run(SETTINGS, DEVICE, folder, timeout)
    told: dict[str, Any] = json.loads((folder / "result.json").read_text())
    return told


async def predict(page: Page, job: Job) -> dict[str, Any]:
    """What a page that works would do."""
    (images,) = await pages.inputs(page, job, 0, job["count"])
    assert images.shape == (7, 3, 8, 8) and images.dtype == np.float32 and np.abs(images).max() < 10
    told = [{"dtype": "float32", "shape": [4]}]
    status, said = await page.post(f"job/{job['number']}/outputs?start=0&stop=7", MEANT.tobytes(), told)
    assert status == 200, said
    return {"seconds": 0.5}


def test_a_job_goes_to_the_browser_and_its_outputs_come_back(folder: Path) -> None:
    async def seen(page: Page, job: Job) -> dict[str, Any]:
        assert await page.get(f"job/{job['number']}/model") == (200, b"whatever a browser gets")
        return await predict(page, job)

    with serving() as address:
        visit = browse(address, lambda page: page.connected(seen))
        facts = browser.probe(SETTINGS, DEVICE)
        told = run(folder)
    assert visit.result(10)[0] == 1000
    assert facts.name == "phone (Chrome Mobile 120 on Pixel 7 Android 14)"
    assert facts.runtimes == {"onnx": "wasm-1.30.0", "tflite": "wasm-2.5.3"}
    assert "not isolated" in facts.system and facts.cores == 8
    assert told["count"] == 7 and told["version"] == "wasm-1.30.0"
    assert np.array_equal(np.load(folder / told["outputs"]["logits"]), MEANT)


def test_only_who_knows_the_token_is_answered() -> None:
    async def visit(page: Page) -> list[tuple[int, bytes]]:
        root = page.address.rsplit("/", 2)[0]
        paths = ("", "page.js", "packages/onnx/ort.wasm.min.mjs", "nothing", "packages/..%2Findex.html", "job/1/model")
        found = [await page.get(path) for path in paths]
        page.address = f"{root}/"
        return [*found, *[await page.get(path) for path in ("", "index.html", "guessed-token/", "guessed/socket")]]

    with serving() as address:
        found = browse(address, visit).result(10)
    assert [status for status, _ in found[:3]] == [200, 200, 200]
    assert b"edgekd" in found[0][1] and found[2][1] == b"pretend"
    assert [status for status, _ in found[3:]] == [404, 404, 403, 404, 404, 404, 404]


def test_the_page_isolates_itself_and_is_not_kept() -> None:
    with serving() as address, urllib.request.urlopen(address) as response:
        headers = dict(response.headers)
    assert headers["Cross-Origin-Opener-Policy"] == "same-origin"
    assert headers["Cross-Origin-Embedder-Policy"] == "require-corp"
    assert headers["Cache-Control"] == "no-store"
    with serving() as address, urllib.request.urlopen(f"{address}packages/onnx/ort.wasm.min.mjs") as response:
        kept = dict(response.headers)
    assert "immutable" in kept["Cache-Control"] and kept["Cross-Origin-Resource-Policy"] == "same-origin"
    assert "HttpOnly" in headers["Set-Cookie"] and "SameSite=Strict" in headers["Set-Cookie"]


def test_a_second_browser_gets_no_job_and_disturbs_none(folder: Path) -> None:
    async def second(page: Page, number: int) -> list[Any]:
        closed = await page.connected(predict)
        model = await page.get(f"job/{number}/model")
        outputs = await page.post(f"job/{number}/outputs?start=0&stop=7", MEANT.tobytes(), [])
        return [closed[0], model[0], outputs[0]]

    async def first(page: Page, job: Job) -> dict[str, Any]:
        intruding = browse(page.address, lambda other: second(other, job["number"]))
        assert await asyncio.wrap_future(intruding) == [4003, 403, 403]
        return await predict(page, job)

    with serving() as address:
        browse(address, lambda page: page.connected(first))
        assert run(folder)["count"] == 7


def test_a_reload_in_mid_run_begins_the_job_anew(folder: Path) -> None:
    async def half(page: Page, job: Job) -> None:
        told = [{"dtype": "float32", "shape": [4]}]
        path = f"job/{job['number']}/outputs?start=0&stop=3"
        assert (await page.post(path, MEANT[3:6].tobytes(), told))[0] == 200

    async def visit(page: Page) -> Any:
        assert await page.connected(half, jobs=1) == (0, "dropped")
        return await page.connected(predict)

    with serving() as address:
        browse(address, visit)
        told = run(folder)
    assert np.array_equal(np.load(folder / told["outputs"]["logits"]), MEANT)


def test_a_page_that_was_only_cut_off_goes_on_where_it_was(folder: Path) -> None:
    told = [{"dtype": "float32", "shape": [4]}]

    async def half(page: Page, job: Job) -> None:
        assert (await page.post(f"job/{job['number']}/outputs?start=0&stop=3", MEANT[:3].tobytes(), told))[0] == 200

    async def rest(page: Page, job: Job) -> dict[str, Any]:
        assert (await page.post(f"job/{job['number']}/outputs?start=3&stop=7", MEANT[3:].tobytes(), told))[0] == 200
        return {"seconds": 1.0}

    async def visit(page: Page) -> Any:
        await page.connected(half, jobs=1)
        return await page.connected(rest, running=1)

    with serving() as address:
        browse(address, visit)
        answer = run(folder)
    assert np.array_equal(np.load(folder / answer["outputs"]["logits"]), MEANT)


def test_outputs_that_cannot_be_are_refused_and_those_that_lack_are_missed(folder: Path) -> None:
    async def wrong(page: Page, job: Job) -> dict[str, Any]:
        path, told = f"job/{job['number']}/outputs", [{"dtype": "float32", "shape": [4]}]
        tries = [
            ("?start=0&stop=7", MEANT.tobytes()[:-4], told),
            ("?start=0&stop=7", MEANT.tobytes(), [*told, *told]),
            ("?start=0&stop=7", MEANT.tobytes(), [{"dtype": "object", "shape": [4]}]),
            ("?start=0&stop=8", MEANT.tobytes(), told),
            ("?start=-1&stop=7", MEANT.tobytes(), told),
            ("?start=2&stop=7", MEANT[2:].tobytes(), told),
            ("?start=0", b"", told),
        ]
        assert [(await page.post(path + query, body, one))[0] for query, body, one in tries] == [400] * 7
        return {"seconds": 1.0}

    with serving() as address:
        browse(address, lambda page: page.connected(wrong))
        with pytest.raises(DeviceError, match="outputs of 0 samples, not of 7"):
            run(folder)


def test_what_a_runtime_says_in_the_browser_is_told(folder: Path) -> None:
    async def failing(page: Page, job: Job) -> dict[str, Any]:
        return {"error": "no kernel for Gelu"}

    with serving() as address:
        browse(address, lambda page: page.connected(failing))
        with pytest.raises(DeviceError, match="phone: onnx in the browser: no kernel for Gelu"):
            run(folder)
        ask(folder, "predict", threads=4)
        with pytest.raises(DeviceError, match=r"4 threads are wanted, but one thread only: .* --https"):
            run(folder)
        ask(folder, "memory")
        assert run(folder)["memory"] is None
        ask(folder, "energy")
        assert run(folder)["joules"] is None


CLOCKED = {
    "load": 0.1,
    "first": 0.01,
    "warmup": 32,
    "settled": True,
    "means": 20,
    "resolution": 1e-4,
    "runs": 2,
    "stride": 20,
    "latencies": [0.001, 0.002],
    "seconds": 0.06,
    "hidden": False,
    "before": {"battery": True},
    "after": {},
}


def test_a_session_is_told_as_other_devices_tell_theirs(folder: Path) -> None:
    async def clocking(page: Page, job: Job) -> dict[str, Any]:
        assert (job["verb"], job["seconds"], job["least"]) == ("clock", 1.5, 7)
        return CLOCKED

    with serving() as address:
        browse(address, lambda page: page.connected(clocking))
        ask(folder, "clock", seconds=1.5, least=7, longest=3.0, most=10, longest_warmup=1.0)
        told = run(folder)
    assert told["latencies"] == [0.001, 0.002] and told["runs"] * told["stride"] == 40
    assert told["notes"] == {"means": 20, "resolution": 1e-4}
    assert (told["before"], told["after"], told["rest"]) == ({"battery": True}, {"battery": None}, {})


@pytest.mark.parametrize("latencies", [[], [0.0], [float("nan")], [-1.0], ["fast"]])
def test_latencies_that_are_none_are_not_believed(folder: Path, latencies: list[Any]) -> None:
    with pytest.raises(ValueError, match=r"latencies that are none|could not convert"):
        _told.clocked(CLOCKED | {"latencies": latencies}, FACTS)


def test_a_browser_that_does_not_come_is_no_fault_of_the_file(folder: Path) -> None:
    with serving(), pytest.raises(DeviceError, match="did not answer within 1 s"):
        run(folder, timeout=1.0)
    with pytest.raises(Unreachable, match="only while a command of edgekd serves its page"):
        run(folder)


def test_one_browser_is_measured_by_one_command() -> None:
    with serving(), pytest.raises(UsageError, match="another command is measuring phone"), serving():
        pass
    other = DEVICE.model_copy(update={"name": "tablet"})
    with serving() as one, serving(device=other) as two:
        assert one != two


def test_a_port_that_is_taken_is_told() -> None:
    with serving() as address:
        port = address.split(":")[2].split("/")[0]
        other = DEVICE.model_copy(update={"name": "tablet", "address": f"127.0.0.1:{port}"})
        with pytest.raises(DeviceError, match=r"the page cannot be served: .*in use"), serving(device=other):
            pass
    strange = DEVICE.model_copy(update={"address": "127.0.0.1:many"})
    with pytest.raises(UsageError, match="no HOST or HOST:PORT"), serving(device=strange):
        pass


@pytest.mark.skipif(not shutil.which("openssl"), reason="openssl is not here")
def test_https_has_a_certificate_for_its_own_address() -> None:
    with serving(browser.Settings(https=True)) as address:
        assert address.startswith("https://127.0.0.1:")
        with pytest.raises(urllib.error.URLError, match="certificate"):
            urllib.request.urlopen(address)
        trusting = ssl.create_default_context()
        trusting.check_hostname, trusting.verify_mode = False, ssl.CERT_NONE
        with urllib.request.urlopen(address, context=trusting) as response:
            assert response.status == 200


def test_runtimes_that_were_not_fetched_are_asked_for(tmp_path: Path) -> None:
    shutil.rmtree(tmp_path / "web")
    with pytest.raises(UsageError, match="edgekd doctor --at browser --provision"), serving():
        pass
    pages.packages(tmp_path / "web")
    shutil.rmtree(tmp_path / "web/litertjs-core-2.5.3")
    assert _npm.versions() == {"onnx": "1.30.0"} and _npm.unfetched() == ("tflite",)
    assert "--provision" in _told.facts(FACTS, "wasm")["missing"]["tflite"]


def test_a_package_that_is_not_the_one_that_is_meant_is_not_kept(tmp_path: Path) -> None:
    with pytest.raises(EdgekdError, match="is not the package that is meant"):
        _npm.unpack(_npm.PACKAGES[0], b"another archive", tmp_path / "unpacked")
    assert not (tmp_path / "unpacked").exists()


@pytest.mark.parametrize(
    ("agent", "told"),
    [
        (FACTS["agent"], ("Chrome Mobile 120", "Android 14", "Pixel 7")),
        (
            "Mozilla/5.0 (iPhone; CPU iPhone OS 17_5 like Mac OS X) AppleWebKit/605.1.15 (KHTML, like Gecko) "
            "Version/17.5 Mobile/15E148 Safari/604.1",
            ("Mobile Safari 17", "iOS 17", "iPhone"),
        ),
        (
            "Mozilla/5.0 (Linux; Android 10; K) AppleWebKit/537.36 (KHTML, like Gecko) "
            "Chrome/156.0.0.0 Mobile Safari/537.36",
            ("Chrome Mobile 156", "Android 10", ""),
        ),
        ("", ("a browser", "an unknown system", "")),
        ("\x1b[2JFirefox/\x1b]0;128.0", ("a browser", "an unknown system", "")),
    ],
)
def test_browsers_are_called_what_people_call_them(agent: str, told: tuple[str, str, str]) -> None:
    assert _told._who({"agent": agent}) == told


def test_a_phone_cannot_write_to_the_terminal() -> None:
    told = {"agent": "", "data": {"platform": "\x1b[31mAndroid\n", "model": "P" * 500}}
    assert _told._who(told) == ("a browser", "[31mAndroid", "P" * 60)


def test_another_browser_is_another_device() -> None:
    def fingerprint(**changed: Any) -> str:
        found: str = _told.facts(FACTS | changed, "wasm")["fingerprint"]
        return found

    assert fingerprint() == fingerprint()
    assert len({fingerprint(), fingerprint(isolated=True), fingerprint(agent="x"), fingerprint(cores=4)}) == 4
    assert _told.facts(FACTS, "webgpu")["fingerprint"] != fingerprint()


def test_the_code_says_the_address() -> None:
    address = "http://192.168.1.20:41234/abcdefgh12345678/"
    lines = browser.invitation("phone", [address], False).split("\n")
    assert address in lines[0]
    light = {"█": (0, 0), "▀": (0, 1), "▄": (1, 0), " ": (1, 1)}
    rows = [row for line in lines[1:] for row in zip(*(light[sign] for sign in line), strict=True)]
    meant = [tuple(map(bool, row)) for row in segno.make(address, error="l", micro=False).matrix_iter(border=2)]
    assert [tuple(map(bool, row)) for row in rows[: len(meant)]] == meant
