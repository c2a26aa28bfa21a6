"""Cards are found in the user's folders first, and broken ones are named."""

from pathlib import Path

import pytest

from edgekd import catalog
from edgekd.errors import UsageError


@pytest.fixture
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """An empty current folder, and a config folder beside it."""
    folder = tmp_path / "here"
    folder.mkdir()
    monkeypatch.chdir(folder)
    monkeypatch.setenv("XDG_CONFIG_HOME", str(tmp_path / "config"))
    return folder


def write(path: Path, text: str) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text, encoding="utf-8")
    return path


def test_shipped_cards_are_found_everywhere(here: Path):
    boards = {f"raspberry-pi-{name}" for name in ("3", "4", "5", "zero-2-w")} | {
        "jetson-orin-nano",
        "intel-n100",
        "mac",
    }
    assert {*boards, "android", "pixel-8", "browser", "browser-webgpu", "micro"} == set(catalog.cards("devices"))
    for name in boards:
        page = catalog.read_page(catalog.cards("devices")[name])
        assert page.tables["device"]["reach"].value == "ssh"
        assert page.tables["facts"]["processor"].value
        assert all(source.startswith("https://") for source in page.top["sources"].value)
    assert {"fashion-mnist-few-labels", "fashion-mnist", "fashion-mnist-full"} == set(catalog.cards("recipes"))
    assert "fashion-mnist-resnet" in catalog.cards("teachers")
    assert "fashion-mnist" in catalog.cards("data")


def test_the_first_card_of_a_name_wins_current_folder_then_config_then_shipped(here: Path):
    text = 'description = "mine"\n[device]\nreach = "local"'
    config = write(here.parent / "config/edgekd/targets/pixel-8.toml", text)
    assert catalog.cards("devices")["pixel-8"].resolve() == config
    own = write(here / "targets/pixel-8.toml", 'description = "here"\n[device]\nreach = "local"')
    assert catalog.cards("devices")["pixel-8"].resolve() == own
    assert catalog.summary(own) == "here"


def test_a_card_is_a_file_or_a_folder_with_card_toml(here: Path):
    one = write(here / "models/teachers/one.toml", "[teacher]")
    two = write(here / "models/teachers/two/card.toml", "[teacher]")
    found = catalog.cards("teachers")
    assert found["one"].resolve() == one and found["two"].resolve() == two


def test_unrelated_toml_in_targets_is_no_card(here: Path):
    write(here / "targets/notes.toml", "a = 1")
    assert "notes" not in catalog.cards("devices")


def test_an_unknown_card_gets_the_nearest_name(here: Path):
    with pytest.raises(
        UsageError, match=r"RECIPE: there is no recipe card 'fashion-mnst'. Did you mean 'fashion-mnist'"
    ):
        catalog.card("recipes", "fashion-mnst", "RECIPE")


def test_a_page_knows_where_each_value_stands(here: Path):
    text = 'x = 1\n[data]\nlabels = 2\n[[target]]\nformat = "a"\n[[target]]\n'
    page = catalog.read_page(write(here / "r.toml", text))
    assert page.top["x"].value == 1
    assert page.tables["data"]["labels"].where == "r.toml: [data] labels"
    assert page.tables["data"]["labels"].base == here
    assert page.lists["target"][0]["format"].where == "r.toml: [[target]] number 1, format"


@pytest.mark.parametrize("text", ["a = ", "[data", "\udcff"])
def test_what_is_not_toml_is_named_with_its_file(here: Path, text: str):
    (here / "bad.toml").write_bytes(text.encode("utf-8", "surrogateescape"))
    with pytest.raises(UsageError, match=r"bad.toml: this is not TOML"):
        catalog.read_page(here / "bad.toml")


def test_a_missing_page_is_named(here: Path):
    with pytest.raises(UsageError, match=r"no.toml: this file is not there"):
        catalog.read_page(here / "no.toml")


def test_a_folder_is_not_a_page(here: Path):
    (here / "d.toml").mkdir()
    with pytest.raises(UsageError, match=r"d.toml: this file cannot be read"):
        catalog.read_page(here / "d.toml")


def test_addresses_come_from_the_users_config(here: Path):
    assert catalog.addresses() == {}
    write(here.parent / "config/edgekd/config.toml", '[at]\nraspberry-pi-5 = "pi@board"')
    assert catalog.addresses() == {"raspberry-pi-5": "pi@board"}


def test_cards_hold_no_addresses():
    for kind in catalog.KINDS:
        for path in catalog.cards(kind).values():
            assert "address" not in path.read_text(encoding="utf-8")
