"""The grammar of targets: FORMAT[@DEVICE], other names of formats, hints, devices that this version cannot reach."""

from pathlib import Path

import pytest

from edgekd import plugins
from edgekd.errors import UsageError
from edgekd.recipes.flags import Flags
from edgekd.recipes.recipe import load_plan
from edgekd.recipes.targets import read_addresses, read_boards, read_format, read_name, split


@pytest.mark.parametrize(
    ("written", "name"),
    [
        ("tflite", "tflite"),
        ("TFLite", "tflite"),
        ("litert", "tflite"),
        ("core-ml", "coreml"),
        ("coreml", "coreml"),
        ("ov", "openvino"),
        ("onnx", "onnx"),
    ],
)
def test_other_names_of_formats(written: str, name: str):
    assert read_format(written, "--target") == name


def test_several_targets_in_one_word_each_once():
    assert split(["tflite,onnx", "onnx", " openvino ,"]) == ("tflite", "onnx", "openvino")


def test_a_target_under_two_of_its_names_is_one_target():
    plan = load_plan(None, Flags(target=("litert", "tflite,ort", "onnx@this-computer")))
    assert [target.name for target in plan.targets] == ["tflite", "onnx"]


@pytest.mark.parametrize(
    ("written", "hint"),
    [
        ("android", "write tflite;"),
        ("ios", "coreml"),
        ("raspberry-pi-5", "tflite@raspberry-pi-5"),
        ("tflight", "Did you mean 'tflite'?"),
        ("opnvino", "Did you mean 'openvino'?"),
        ("nonsense", f"Choose from: {', '.join(plugins.names('formats'))}"),
        ("", "Choose from"),
    ],
)
def test_what_is_no_format_gets_a_hint(written: str, hint: str):
    with pytest.raises(UsageError) as caught:
        read_format(written, "--target")
    assert str(caught.value).startswith("--target: ") and hint in str(caught.value)


def test_this_computer_is_the_device_where_none_is_named():
    for text in ("tflite", "tflite@this-computer"):
        name, device = read_name(text, {}, "--target")
        assert (name, device.name, device.reach.name) == ("tflite", "this-computer", "local")


def test_a_phone_is_reached_by_adb_and_judged_only_by_files_whose_outputs_it_tells():
    name, device = read_name("tflite@pixel-8", {"pixel-8": "R5CX"}, "--target")
    assert (name, device.reach.name, device.address) == ("tflite", "adb", "R5CX")
    with pytest.raises(UsageError, match=r"onnx@pixel-8 cannot be judged: .*no outputs.*edgekd bench BUNDLE --at"):
        read_name("onnx@pixel-8", {}, "--target")


def test_phones_and_browsers_need_no_card():
    devices = read_boards(["mine=adb", "hers=adb:192.168.1.30:5555", "android=R5CX", "tab=browser:10.0.0.2:80"])
    found = [(device.name, device.reach.name, device.address) for device in devices]
    assert found == [
        ("mine", "adb", ""),
        ("hers", "adb", "192.168.1.30:5555"),
        ("android", "adb", "R5CX"),
        ("tab", "browser", "10.0.0.2:80"),
    ]
    with pytest.raises(UsageError, match="'-x' is no address of mine"):
        read_boards(["mine=adb:-x"])


def test_a_device_that_cannot_be_reached_yet_is_refused_in_a_sentence(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "targets").mkdir()
    (tmp_path / "targets/rover.toml").write_text('[device]\nreach = "radio"\n', encoding="utf-8")
    with pytest.raises(UsageError, match="measuring on rover needs the radio device, which this version does not"):
        read_name("tflite@rover", {}, "--target")


def test_a_board_needs_an_address_and_one_that_is_one():
    name, device = read_name("tflite@raspberry-pi-5", {"raspberry-pi-5": "pi@board"}, "--target")
    assert (name, device.reach.name, device.address) == ("tflite", "ssh", "pi@board")
    with pytest.raises(UsageError, match=r"raspberry-pi-5 has no address\. Write for example --at raspberry-pi-5=pi@"):
        read_name("tflite@raspberry-pi-5", {}, "--target")
    for address in ("-oProxyCommand=x", "a b"):
        with pytest.raises(UsageError, match="is no address of raspberry-pi-5"):
            read_name("tflite@raspberry-pi-5", {"raspberry-pi-5": address}, "--target")


def test_both_halves_are_told_at_once():
    with pytest.raises(UsageError) as caught:
        read_name("tflight@pixel8", {}, "--target")
    assert [problem.hint for problem in caught.value.problems] == ["Did you mean 'tflite'?", "Did you mean 'pixel-8'?"]


def test_nothing_after_the_at_sign_is_a_mistake():
    with pytest.raises(UsageError, match="there is no device card ''"):
        read_name("tflite@", {}, "--target")


def test_a_private_device_card_with_a_known_reach_is_a_device(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "targets").mkdir()
    (tmp_path / "targets/bench-pc.toml").write_text('[device]\nreach = "local"\n', encoding="utf-8")
    _, device = read_name("onnx@bench-pc", {"bench-pc": "there"}, "--target")
    assert (device.name, device.reach.name, device.address) == ("bench-pc", "local", "there")


def test_a_device_card_without_reach_is_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "targets").mkdir()
    (tmp_path / "targets/odd.toml").write_text("[device]\n", encoding="utf-8")
    with pytest.raises(UsageError, match=r"odd.toml: \[device\] reach: is missing"):
        read_name("onnx@odd", {}, "--target")


def test_addresses_of_flags_win_and_mistakes_are_told_together(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setenv("XDG_CONFIG_HOME", str(tmp_path))
    (tmp_path / "edgekd").mkdir()
    (tmp_path / "edgekd/config.toml").write_text('[at]\npixel-8 = "usb"\nraspberry-pi-5 = "old"\n', encoding="utf-8")
    assert read_addresses(["raspberry-pi-5=pi@new=x"]) == {"pixel-8": "usb", "raspberry-pi-5": "pi@new=x"}
    with pytest.raises(UsageError) as caught:
        read_addresses(["nothing", "pixl-8=a"])
    assert len(caught.value.problems) == 2 and "Did you mean 'pixel-8'?" in str(caught.value)


def test_no_two_formats_have_one_name_or_one_ending():
    declared = [plugins.declared("formats", name) for name in plugins.names("formats")]
    names = [*plugins.names("formats"), *(alias for one in declared for alias in one.aliases)]
    endings = [suffix for one in declared for suffix in one.suffixes]
    assert len(set(names)) == len(names) and len(set(endings)) == len(endings)
