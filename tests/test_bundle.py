import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from edgekd import files
from edgekd.bundle import bundle, words
from edgekd.bundle.verify import Finding, sound, verify
from edgekd.errors import UsageError
from edgekd.lock import Lock
from edgekd.results import DeviceFacts, GoldenSet, Report, Row
from edgekd.runtimes import digests, replay
from tests import small, synthetic

LOCK = Lock(edgekd="0.1.0", source="", plan="0" * 64, seeds=(0,), devices={}, steps=())


def shipped(store: small.Store, facts: DeviceFacts, images: bool) -> tuple[Row, GoldenSet]:
    made = small.artifact(store, images)
    row = synthetic.rows("onnx")[-1].model_copy(update={"artifact": made, "precision": "float32"})
    return row, small.golden_set(store, made, facts)


def written(folder: Path, images: bool) -> Path:
    store = small.Store(folder)
    row, golden = shipped(store, small.device_facts(), images)
    return bundle.write(report(row), row, golden, store.entries, folder / "made", LOCK)


def report(row: Row) -> Report:
    """A report in which that row ships for ONNX."""
    made = synthetic.report(rows=(*synthetic.rows("onnx")[:4], row))
    targets = (made.plan.targets[0].model_copy(update={"name": "onnx", "format": "onnx"}),)
    return made.model_copy(update={"plan": made.plan.model_copy(update={"targets": targets})})


@pytest.fixture(scope="module")
def of_images(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return written(tmp_path_factory.mktemp("images"), images=True)


@pytest.fixture(scope="module")
def of_words(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return written(tmp_path_factory.mktemp("words"), images=False)


@pytest.fixture
def copy(of_images: Path, tmp_path: Path) -> Path:
    return Path(shutil.copytree(of_images, tmp_path / "copy"))


def wrong(findings: tuple[Finding, ...]) -> list[str]:
    return [finding.what for finding in findings if finding.passed is False]


def recorded(folder: Path) -> None:
    """Write digests and the certificate anew, as a forger would who has no key."""
    page = json.loads((folder / "certificate.json").read_text())
    page["sha256"] = {name: value for name, value in digests.listing(folder).items() if "certificate" not in name}
    (folder / "certificate.json").write_text(json.dumps(page))
    digests.record(folder)


def change_signature(folder: Path, **changes: object) -> None:
    """Change the preprocessing in signature.json, and digests.json to match."""
    page = json.loads((folder / "signature.json").read_text())
    page["inputs"][0]["preprocess"] |= changes
    (folder / "signature.json").write_text(json.dumps(page, indent=2) + "\n")
    recorded(folder)


def test_a_bundle_is_complete_and_sound(of_images: Path) -> None:
    assert sorted(path.name for path in of_images.iterdir()) == [
        "LICENSES", "MODEL_CARD.md", "README.md", "certificate.json", "digests.json", "edgekd.lock.json", "golden",
        "labels.txt", "run.py", "runtime", "signature.json", "student.onnx",
    ]  # fmt: skip
    findings = verify(of_images)
    assert sound(findings) and all(finding.passed for finding in findings), findings
    assert {"digests", "student.onnx", "prepare image", "decode odd-size.png", "decode turned.jpg", "decode alpha.png",
            "golden samples, logits", "golden images, logits"} <= {finding.what for finding in findings}  # fmt: skip
    listed = json.loads((of_images / "digests.json").read_text())["sha256"]
    assert listed["student.onnx"] == files.digest(of_images / "student.onnx") and "digests.json" not in listed
    assert not list(of_images.parent.glob(".*")), "no half-written folder is left"


def test_ids_and_a_mask_make_a_bundle_too(of_words: Path) -> None:
    findings = verify(of_words)
    assert all(finding.passed for finding in findings), findings
    assert {"golden samples, logits"} <= {finding.what for finding in findings}
    assert "pillow" not in (of_words / "README.md").read_text()


def test_a_bundle_of_raw_input_prepares_nothing(of_images: Path, tmp_path: Path) -> None:
    store = small.Store(tmp_path)
    made = small.raw_artifact(store)
    row = synthetic.rows("onnx")[-1].model_copy(update={"artifact": made, "precision": "float32"})
    golden = small.golden_set(store, made, small.device_facts())
    told = report(row)
    folder = bundle.write(told, row, golden, store.entries, tmp_path / "made", LOCK)
    findings = verify(folder)
    assert all(finding.passed for finding in findings), findings
    assert {"golden samples, logits"} == {finding.what for finding in findings if "golden" in finding.what}
    for page, words_there in (("README.md", "prepares nothing"), ("MODEL_CARD.md", "gray pixels as a camera gives")):
        assert words_there in (folder / page).read_text() and words_there not in (of_images / page).read_text()
    source = (folder / "run.py").read_text()
    assert "preprocess" not in source and "preprocess.prepare" in (of_images / "run.py").read_text()
    (spec,) = json.loads((folder / "signature.json").read_text())["inputs"]
    assert (spec["dtype"], spec["shape"], spec["preprocess"]) == ("uint8", [-1, 12, 12, 1], None)
    pixels = small.image_samples()["image"]
    np.savez(tmp_path / "frames.npz", image=pixels)
    Image.fromarray(pixels[1][:, :, 0]).save(tmp_path / "frame.png")
    Image.fromarray(pixels[1][:9, :, 0]).save(tmp_path / "low.png")
    frames, frame, low = (run(folder, str(tmp_path / name)) for name in ("frames.npz", "frame.png", "low.png"))
    assert len(frames.stdout.splitlines()) == len(pixels) and frames.stdout.splitlines()[1].startswith("1: ")
    assert frame.stdout.strip().rpartition(".png: ")[2] == frames.stdout.splitlines()[1].removeprefix("1: ")
    assert low.returncode == 1 and "low.png has 12 x 9 pixels, the model takes 12 x 12" in low.stderr


def test_a_flipped_bit_in_the_model_is_caught(copy: Path) -> None:
    model = bytearray((copy / "student.onnx").read_bytes())
    model[len(model) // 2] ^= 1
    (copy / "student.onnx").write_bytes(model)
    assert "student.onnx" in wrong(verify(copy))
    recorded(copy)
    assert "student.onnx" in wrong(verify(copy)), "a matching digests.json does not hide it"


def test_a_swapped_file_is_caught(copy: Path) -> None:
    odd, alpha = copy / "golden" / "odd-size.png", copy / "golden" / "alpha.png"
    content = odd.read_bytes()
    odd.write_bytes(alpha.read_bytes())
    alpha.write_bytes(content)
    assert {"golden/odd-size.png", "golden/alpha.png"} <= set(wrong(verify(copy)))
    recorded(copy)
    assert {"decode odd-size.png", "decode alpha.png"} <= set(wrong(verify(copy)))


def test_swapped_classes_are_caught(copy: Path) -> None:
    (copy / "labels.txt").write_text("coat\nbag\nshirt\n")
    recorded(copy)
    assert wrong(verify(copy)) == ["labels.txt"]


def test_a_wrong_resize_filter_is_caught(copy: Path) -> None:
    change_signature(copy, filter="bicubic")
    found = wrong(verify(copy))
    assert "digests" not in found and {"signature.json", "decode odd-size.png", "decode alpha.png"} <= set(found)


def test_a_wrong_mean_is_caught(copy: Path) -> None:
    change_signature(copy, mean=[0.3005])
    found = wrong(verify(copy))
    assert "digests" not in found and {"signature.json", "prepare image", "prepare images"} <= set(found)


def test_the_replay_alone_sees_a_wrong_filter_and_mean(copy: Path) -> None:
    for changes, seen in (({"filter": "lanczos"}, "decode odd-size.png"), ({"mean": [0.31]}, "prepare image")):
        change_signature(copy, **changes)
        golden = json.loads((copy / "golden" / "golden.json").read_text())
        golden["signature"] = json.loads((copy / "signature.json").read_text())
        (copy / "golden" / "golden.json").write_text(json.dumps(golden))
        recorded(copy)
        assert seen in wrong(verify(copy)) and "signature.json" not in wrong(verify(copy))


@pytest.mark.parametrize("name", ["student.onnx", "labels.txt", "golden/golden.npz", "signature.json"])
def test_a_missing_file_is_caught(copy: Path, name: str) -> None:
    (copy / name).unlink()
    found = {finding.what: finding.why for finding in verify(copy) if finding.passed is False}
    assert found[name] == "it is missing"


def test_other_weights_of_the_same_shape_are_caught_by_the_runtime(copy: Path) -> None:
    content = (copy / "student.onnx").read_bytes()
    weights = small.numpy_helper.to_array(small._weights("weights", 144, 3))
    assert content.count(weights.tobytes()) == 1
    (copy / "student.onnx").write_bytes(content.replace(weights.tobytes(), (weights * np.float32(1.01)).tobytes()))
    golden = json.loads((copy / "golden" / "golden.json").read_text())
    golden["model"]["sha256"] = files.digest(copy / "student.onnx")
    (copy / "golden" / "golden.json").write_text(json.dumps(golden))
    recorded(copy)
    assert wrong(verify(copy)) == ["golden samples, logits", "golden images, logits"]


def test_a_model_that_cannot_be_read_is_a_finding(copy: Path) -> None:
    (copy / "student.onnx").write_bytes(b"\0" * 100)
    assert any("ONNX Runtime" in finding.why for finding in verify(copy) if finding.passed is False)


@pytest.mark.parametrize("name", ["../outside", "/etc/hostname", "golden/../../outside", "c:\\outside"])
def test_paths_that_leave_the_folder_are_never_opened(copy: Path, name: str) -> None:
    (copy.parent / "outside").write_text("secret")
    page = json.loads((copy / "digests.json").read_text())
    page["sha256"][name] = files.digest(copy.parent / "outside")
    (copy / "digests.json").write_text(json.dumps(page))
    found = {finding.what: finding.why for finding in verify(copy)}
    assert "outside the bundle" in found[name]


def test_links_and_unlisted_files_are_named(copy: Path) -> None:
    (copy / "labels.txt").unlink()
    (copy / "labels.txt").symlink_to(copy / "README.md")
    (copy / "numpy.py").write_text("print('gotcha')")
    found = [(finding.what, finding.why) for finding in verify(copy) if finding.passed is False]
    assert ("labels.txt", "it is a link; bundles hold plain files only") in found
    assert ("numpy.py", "it is not listed in digests.json") in found


def test_golden_names_stay_in_their_folder(copy: Path) -> None:
    golden = json.loads((copy / "golden" / "golden.json").read_text())
    golden["images"][0]["file"] = "../../outside.png"
    (copy / "golden" / "golden.json").write_text(json.dumps(golden))
    assert any("not a plain file name" in finding.why for finding in verify(copy) if finding.passed is False)


def test_what_is_no_bundle_is_refused(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="is not a bundle"):
        verify(tmp_path)


def run(folder: Path, *arguments: str) -> subprocess.CompletedProcess[str]:
    """run.py as a user would: another working directory, nothing of edgekd."""
    clean = {name: value for name, value in os.environ.items() if name != "PYTHONPATH"}
    command = [sys.executable, str(folder / "run.py"), *arguments]
    return subprocess.run(
        command, cwd=folder.parent, env=clean, capture_output=True, text=True, timeout=60, check=False
    )


def test_the_sample_program_prints_classes(copy: Path) -> None:
    done = run(copy, str(copy / "golden" / "turned.jpg"), str(copy / "golden" / "odd-size.png"))
    assert done.returncode == 0, done.stderr
    lines = done.stdout.splitlines()
    assert len(lines) == 2 and all(name in lines[0] for name in small.CLASSES)
    assert lines[0].partition(": ")[2].split()[0] == lines[1].partition(": ")[2].split()[0]
    assert sound(verify(copy)), "running it leaves no files behind"


def test_the_sample_program_reads_arrays(of_words: Path, tmp_path: Path) -> None:
    np.savez(tmp_path / "inputs.npz", **small.word_samples())
    done = run(of_words, str(tmp_path / "inputs.npz"))
    assert done.returncode == 0, done.stderr
    assert [line.partition(":")[0] for line in done.stdout.splitlines()] == [str(i) for i in range(8)]


def test_the_sample_program_checks_its_folder(copy: Path) -> None:
    done = run(copy, "--check")
    assert done.returncode == 0 and "WRONG" not in done.stdout, done.stdout + done.stderr
    change_signature(copy, filter="box")
    done = run(copy, "--check")
    assert done.returncode == 1 and "WRONG       decode odd-size.png" in done.stdout
    assert "Needs numpy, onnxruntime" in run(copy).stderr


def test_the_sample_sources_need_nothing_of_edgekd(of_images: Path) -> None:
    assert sorted(path.stem for path in (of_images / "runtime").iterdir()) == [
        "__init__", "digests", "fault", "fusion", "logmel", "onnx", "placement", "preprocess", "replay",
        "tensors", "tokens",
    ]  # fmt: skip
    for path in (of_images / "runtime").iterdir():
        assert path.read_text() == (bundle.RUNTIMES / path.name).read_text()
    assert all("edgekd" not in line for line in (of_images / "run.py").read_text().splitlines() if "import" in line)


def test_the_card_says_what_must_be_known(of_images: Path) -> None:
    card = (of_images / "MODEL_CARD.md").read_text()
    for part in (
        "89.4 % (88.6–90.2 %)",
        "Measured on this computer (AMD EPYC 9B14), 1 thread",
        "convnet (depth 2, width 16)",
        "distilled from the teacher `torch`",
        "not stated in the recipe",
        "The teacher was trained on images",
    ):
        assert part in card, part
    assert "Apache License" in (of_images / "LICENSES").read_text()
    assert len((of_images / "README.md").read_text().splitlines()) < 45


def test_the_same_answers_give_the_same_bytes(of_images: Path, tmp_path: Path) -> None:
    again = written(tmp_path, images=True)
    assert (again / "digests.json").read_bytes() == (of_images / "digests.json").read_bytes()


def test_an_older_bundle_is_replaced_but_nothing_else(copy: Path, tmp_path: Path) -> None:
    (copy / "extra").write_text("an older bundle may be replaced")
    row, golden = shipped(store := small.Store(tmp_path / "two"), small.device_facts(), images=True)
    bundle.write(report(row), row, golden, store.entries, copy, LOCK)
    assert sound(verify(copy)) and not (copy / "extra").exists()
    photos = tmp_path / "photos"
    photos.mkdir()
    (photos / "cat.jpg").write_bytes(b"precious")
    with pytest.raises(UsageError, match="is not a bundle"):
        bundle.write(report(row), row, golden, store.entries, photos, LOCK)
    assert (photos / "cat.jpg").read_bytes() == b"precious"
    assert sorted(path.name for path in tmp_path.iterdir()) == ["copy", "photos", "two"]


def test_a_row_without_a_file_cannot_be_bundled(tmp_path: Path) -> None:
    row = synthetic.missed().rows[1]
    golden = GoldenSet(folder=synthetic.stored("golden"), tolerance=1.0)
    with pytest.raises(UsageError, match="teacher int8 has no file"):
        bundle.write(synthetic.missed(), row, golden, tmp_path, tmp_path / "made", LOCK)


def test_without_recorded_outputs_the_model_is_not_judged(copy: Path) -> None:
    golden = json.loads((copy / "golden" / "golden.json").read_text())
    (copy / "golden" / "golden.json").write_text(json.dumps(golden | {"missing": synthetic.APPLE_ONLY}))
    recorded(copy)
    findings = verify(copy)
    assert sound(findings)
    assert [finding.why for finding in findings if finding.passed is None] == [
        f"no outputs were recorded: {synthetic.APPLE_ONLY}"
    ]


def test_another_jpeg_decoder_is_tolerated_a_rotation_is_not(copy: Path) -> None:
    image = {"canvas": "", "exact": False}
    recorded = np.random.default_rng(0).integers(30, 220, (12, 12, 1)).astype(np.uint8)
    image["canvas"] = replay.hashlib.sha256(recorded.tobytes()).hexdigest()
    noise = np.random.default_rng(1).integers(-1, 2, recorded.shape)
    near = (recorded + noise).astype(np.uint8)
    assert replay._decoded("jpeg", near, recorded, image)["passed"] is True
    assert replay._decoded("png", near, recorded, image | {"exact": True})["passed"] is False
    assert replay._decoded("jpeg", np.rot90(recorded), recorded, image)["passed"] is False


def test_words_for_inputs() -> None:
    steps = words.steps(synthetic.signature().inputs[0])
    assert steps[-2:] == ("channels gray; (x / 255 - mean) / std with mean 0.286 and std 0.353", "layout NHWC")
    assert words.steps(small.WORDS.inputs[0]) == ()
    assert words.tensor(small.WORDS.inputs[0]) == "`ids`: int64, any batch x 6"


def test_the_control_is_called_what_it_is() -> None:
    report: Report = synthetic.report()
    assert "without a teacher was the better one" in words.origin(report.rows[2], report)
    assert words.data(report) == "arrays; 1000 labelled samples, the rest unlabelled"
