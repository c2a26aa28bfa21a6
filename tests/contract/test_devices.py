"""What every way to reach a device must do. `this-computer` needs no address, so it is the one tried here."""

import json
import shutil
from pathlib import Path
from typing import Any

import pytest

from edgekd import plugins
from edgekd.errors import DeviceError
from edgekd.results import DeviceFacts
from edgekd.spec import Choice, Device
from tests import tiny

NAMES = plugins.names("devices")
# Ways to reach a device that work on any computer without a set-up.
HERE = [name for name in NAMES if name == "local"]


@pytest.mark.parametrize("name", NAMES)
def test_a_device_plugin_declares_its_version_and_settings(name: str) -> None:
    assert plugins.declared("devices", name).version >= 1
    module = plugins.find("devices", name)
    assert module.Settings.model_validate({}) is not None


@pytest.mark.parametrize("name", HERE)
def test_a_probe_is_whole_and_the_same_twice(name: str) -> None:
    module, device = plugins.find("devices", name), Device(name="bench", reach=Choice(name=name))
    first, again = (module.probe(module.Settings(), device) for _ in range(2))
    assert isinstance(first, DeviceFacts)
    assert first.fingerprint == again.fingerprint
    assert first.name.startswith("bench")
    assert set(first.runtimes) | set(first.missing) >= set(plugins.names("runtimes"))


@pytest.mark.parametrize("name", HERE)
def test_a_job_leaves_its_result_and_files_in_the_folder(name: str, tiny: Path, tmp_path: Path) -> None:
    request = _job(tiny, tmp_path)
    module, device = plugins.find("devices", name), Device(reach=Choice(name=name))
    module.run(module.Settings(), device, tmp_path, 60.0)
    assert json.loads((tmp_path / "result.json").read_text())["count"] == 7
    assert (tmp_path / "outputs-0.npy").is_file()
    (tmp_path / "request.json").write_text(json.dumps({**request, "verb": "dance"}))
    with pytest.raises(DeviceError, match="there is no verb 'dance'"):
        module.run(module.Settings(), device, tmp_path, 60.0)


def _job(tiny_files: Path, folder: Path) -> dict[str, Any]:
    shutil.copyfile(tiny_files / "image-fixed.onnx", folder / "image-fixed.onnx")
    tiny.np.save(folder / "image.npy", tiny.samples()["image"])
    request: dict[str, Any] = {
        "verb": "predict",
        "runtime": "onnx",
        "model": "image-fixed.onnx",
        "threads": 1,
        "signature": tiny.signature("image", 1),
        "inputs": {"image": "image.npy"},
    }
    (folder / "request.json").write_text(json.dumps(request))
    return request
