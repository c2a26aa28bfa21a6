"""Certificates signed by real ssh keys: whose it is, and that no change gets past it."""

import json
import shutil
import subprocess
from pathlib import Path

import pytest

from edgekd.bundle.signing import sign, signed_by
from edgekd.bundle.verify import certified
from edgekd.errors import UsageError
from edgekd.runtimes import digests
from tests.test_bundle import recorded, written

pytestmark = pytest.mark.skipif(shutil.which("ssh-keygen") is None, reason="there is no ssh-keygen here")


def key(folder: Path, name: str) -> Path:
    subprocess.run(
        ["ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-C", "", "-f", name], cwd=folder, check=True, input=b""
    )
    return folder / name


@pytest.fixture(scope="module")
def keys(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Path, Path]:
    """Two keys, and a list of signers that has the first one's."""
    folder = tmp_path_factory.mktemp("keys")
    mine, other = key(folder, "mine"), key(folder, "other")
    public = mine.with_suffix(".pub").read_text().split()[:2]
    (folder / "signers").write_text(f"anna@example.com {' '.join(public)}\n")
    return mine, other, folder / "signers"


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return written(tmp_path_factory.mktemp("signed"), images=False)


@pytest.fixture
def bundle(made: Path, keys: tuple[Path, Path, Path], tmp_path: Path) -> Path:
    folder = Path(shutil.copytree(made, tmp_path / "bundle"))
    sign(folder, keys[0])
    digests.record(folder)
    return folder


def findings(folder: Path, signers: Path | None) -> dict[str, bool | None]:
    return {finding.what: finding.passed for finding in certified(folder, signers)}


def test_a_signature_says_who_made_it(bundle: Path, keys: tuple[Path, Path, Path]) -> None:
    assert signed_by(bundle, keys[2]) == (True, "made by anna@example.com")
    good, said = signed_by(bundle, None)
    assert good and "SHA256:" in said and "ED25519" in said
    assert findings(bundle, keys[2]) == {"certificate": True, "signature": True}
    assert all(one["passed"] for one in digests.check(bundle))


def test_whoever_records_everything_anew_lacks_the_key(bundle: Path, keys: tuple[Path, Path, Path]) -> None:
    (bundle / "labels.txt").write_text("x\ny\nz\n")
    assert findings(bundle, keys[2])["certificate"] is False
    recorded(bundle)
    assert findings(bundle, keys[2]) == {"certificate": True, "signature": False} == findings(bundle, None)
    sign(bundle, keys[1])
    digests.record(bundle)
    assert findings(bundle, None) == {"certificate": True, "signature": True}, "some key made it"
    assert findings(bundle, keys[2]) == {"certificate": True, "signature": False}, "but none of ours"


def test_a_signature_that_was_taken_away_is_missed_where_signers_are_named(
    bundle: Path, keys: tuple[Path, Path, Path]
) -> None:
    (bundle / "certificate.json.sig").unlink()
    assert findings(bundle, keys[2]) == {"certificate": True, "signature": False}
    (bundle / "certificate.json").unlink()
    assert findings(bundle, keys[2]) == {"signature": False} and findings(bundle, None) == {}


def test_without_ssh_keygen_a_signature_cannot_be_looked_at(
    bundle: Path, keys: tuple[Path, Path, Path], monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    assert findings(bundle, None) == {"certificate": True, "signature": None}
    assert findings(bundle, keys[2]) == {"certificate": True, "signature": False}


def test_a_name_of_two_words_is_whole(bundle: Path, keys: tuple[Path, Path, Path], tmp_path: Path) -> None:
    public = keys[2].read_text().partition(" ")[2]
    (tmp_path / "signers").write_text(f'"Anna B" {public}')
    assert signed_by(bundle, tmp_path / "signers") == (True, "made by Anna B")


def test_a_signature_for_another_purpose_does_not_pass(bundle: Path, keys: tuple[Path, Path, Path]) -> None:
    (bundle / "certificate.json.sig").unlink()
    command = ["ssh-keygen", "-Y", "sign", "-q", "-n", "git", "-f", str(keys[0]), "certificate.json"]
    subprocess.run(command, cwd=bundle, check=True, input=b"")
    assert signed_by(bundle, keys[2])[0] is False and signed_by(bundle, None)[0] is False


def test_mistakes_are_told_in_a_sentence(bundle: Path, keys: tuple[Path, Path, Path], tmp_path: Path) -> None:
    with pytest.raises(UsageError, match=r"--key .*no-key: this file is not there"):
        sign(bundle, tmp_path / "no-key")
    with pytest.raises(UsageError, match="cannot sign"):
        sign(bundle, keys[2])
    assert findings(bundle, keys[2]) == {"certificate": True, "signature": True}, "the signature that was there stays"
    with pytest.raises(UsageError, match=r"--signers .*nobody: this file is not there"):
        signed_by(bundle, tmp_path / "nobody")
    (bundle / "certificate.json").write_text(json.dumps({"terms": 1}))
    assert [finding.why for finding in certified(bundle, None)] == ["is no certificate of this version"]
