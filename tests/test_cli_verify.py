"""verify --at, --fleet and --junit, sign, and compare of two files: the real commands on real, tiny files."""

import json
import shutil
import subprocess
from itertools import pairwise
from pathlib import Path
from xml.etree import ElementTree

import numpy as np
import pytest
from onnx import TensorProto, helper, numpy_helper, save
from typer.testing import CliRunner, Result

from edgekd import cli
from edgekd.runtimes import digests
from tests.test_bundle import written

QUICK = ("--at", "this-computer", "--bench", "quick")


def run(*arguments: str | Path) -> Result:
    return CliRunner().invoke(cli.app, list(map(str, arguments)))


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return written(tmp_path_factory.mktemp("made"), images=False)


@pytest.fixture
def bundles(made: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder of two bundles: one promises an hour, which is kept, one a nanosecond, which is not."""
    monkeypatch.chdir(tmp_path)
    for name, limit in (("easy", 3600.0), ("hard", 1e-9)):
        shutil.copytree(made, tmp_path / name)
        page = json.loads((tmp_path / name / "certificate.json").read_text())
        page["budget"] = {"max_latency": limit}
        (tmp_path / name / "certificate.json").write_text(json.dumps(page))
        digests.record(tmp_path / name)
    return tmp_path


def test_the_worst_verdict_of_real_measurements_is_the_exit_status(bundles: Path) -> None:
    kept = run("verify", "easy", *QUICK, "--junit", "out.xml")
    assert kept.exit_code == 0 and "holds: easy on this computer" in kept.stdout, kept.output
    broken = run("verify", "easy", "hard", *QUICK, "--junit", "out.xml", "--json")
    assert broken.exit_code == 3, broken.output
    ((served,), suite) = json.loads(broken.stdout), ElementTree.parse("out.xml").getroot()[0]
    assert {one["bundle"]: one["verdict"] for one in served["tried"]} == {"easy": "holds", "hard": "broken"}
    assert (suite.attrib["tests"], suite.attrib["failures"], suite.attrib["errors"]) == ("2", "1", "0")


def test_a_board_of_a_fleet_that_is_not_there_is_inconclusive(bundles: Path) -> None:
    page = '[[board]]\nname = "gone"\nat = "nobody@127.0.0.1:1"\n[[board]]\nname = "desk"\ncard = "this-computer"\n'
    (bundles / "fleet.toml").write_text(page)
    done = run("verify", "easy", "--fleet", "fleet.toml", "--bench", "quick")
    assert done.exit_code == 4, done.output
    assert "gone gets none: inconclusive" in done.stdout and "desk gets easy" in done.stdout


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (("verify",), "BUNDLE: is missing"),
        (("verify", "easy", "--junit", "x.xml"), "--junit: is for what is measured"),
        (("verify", "easy", *QUICK, "--junit", "no/such/x.xml"), "cannot be written"),
        (("verify", "easy", *QUICK, "--fleet", "x.toml"), "both say where to measure"),
        (("verify", "easy", *QUICK, "--signers", "nobody"), "nobody signed the certificate"),
        (("compare", "easy", "nowhere"), "nowhere: this file is not there"),
        (("compare", "easy", "hard", "--at", "this-computer", "--at", "b=c"), "compared on one device"),
        (("compare", "easy", "hard", "--runtime", "snpe"), "nothing of edgekd runs easy by 'snpe'"),
        (("sign", "easy", "--key", "no-key"), "no-key: this file is not there"),
    ],
)
def test_mistakes_are_told_before_anything_is_measured(bundles: Path, arguments: tuple[str, ...], words: str) -> None:
    done = run(*arguments)
    assert done.exit_code == 2 and words in done.stderr and "Traceback" not in done.output, done.output


@pytest.mark.skipif(shutil.which("ssh-keygen") is None, reason="there is no ssh-keygen here")
def test_a_signed_bundle_is_sound_and_a_damaged_one_is_not_signed(bundles: Path) -> None:
    subprocess.run(["ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-f", "key"], check=True, input=b"")
    (bundles / "signers").write_text(f"anna@example.com {(bundles / 'key.pub').read_text()}")
    assert run("sign", "easy", "--key", "key").exit_code == 0
    sound = run("verify", "easy", "--signers", "signers")
    assert sound.exit_code == 0 and "made by anna@example.com" in sound.stdout, sound.output
    assert run("verify", "hard", "--signers", "signers").exit_code == 1
    (bundles / "hard/labels.txt").write_text("x\n")
    refused = run("sign", "hard", "--key", "key")
    assert refused.exit_code == 2 and "not signed" in refused.stderr
    assert not (bundles / "hard/certificate.json.sig").exists()


def chain(path: Path, depth: int) -> None:
    """A model that multiplies by one matrix so many times."""
    matrix = numpy_helper.from_array(np.eye(128, dtype=np.float32), "m")
    names = ["x", *(f"y{i}" for i in range(depth))]
    nodes = [helper.make_node("MatMul", [a, "m"], [b]) for a, b in pairwise(names)]
    ends = [helper.make_tensor_value_info(name, TensorProto.FLOAT, [1, 128]) for name in (names[0], names[-1])]
    graph = helper.make_graph(nodes, "chain", ends[:1], ends[1:], [matrix])
    save(helper.make_model(graph, opset_imports=[helper.make_opsetid("", 18)], ir_version=10), path)


@pytest.mark.slow
def test_a_file_that_is_many_times_slower_is_found_on_the_device(bundles: Path) -> None:
    chain(bundles / "old.onnx", 2)
    chain(bundles / "new.onnx", 60)
    slower = run("compare", "old.onnx", "new.onnx", "--bench", "quick", "--max-regression", "5%")
    # where other programs keep the computer busy all the while, nobody is accused
    assert slower.exit_code == 3 or (slower.exit_code == 4 and "unstable" in slower.stdout), slower.output
    faster = json.loads(run("compare", "new.onnx", "old.onnx", "--bench", "quick", "--json").stdout)
    assert faster["ratios"]["quiet"]["high"] < 0.8 and faster["verdict"] == "no regression"
