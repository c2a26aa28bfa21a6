"""A page and flags become a Plan, or every mistake is told at once with file and key."""

from pathlib import Path

import numpy as np
import pytest

from edgekd.errors import UsageError
from edgekd.recipes.effort import CONTROL
from edgekd.recipes.flags import Flags
from edgekd.recipes.recipe import load_plan
from edgekd.spec import KEY, Budget, Choice

TARGET = Flags(target=("tflite",))
PAGE = """
[data]
folder = "photos"
[teacher]
make = "my_net:build"
weights = "best.safetensors"
image = { size = 64, mean = [0.5, 0.4, 0.3], std = [0.2, 0.2, 0.1] }
[student]
family = "resnet"
image = { size = 32 }
[[target]]
format = "tflite"
max_latency = "20ms"
"""


@pytest.fixture
def page(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A recipe with the files that it names, in a folder that is not the current one."""
    folder, here = tmp_path / "project", tmp_path / "here"
    (folder / "photos/cat").mkdir(parents=True)
    here.mkdir()
    monkeypatch.chdir(here)
    (folder / "photos/cat/1.png").write_bytes(b"an image")
    (folder / "my_net.py").write_text("import blocks\ndef build(): ...\n", encoding="utf-8")
    (folder / "blocks.py").write_text("import numpy\n", encoding="utf-8")
    (folder / "best.safetensors").write_bytes(b"weights")
    file = folder / "recipe.toml"
    file.write_text(PAGE, encoding="utf-8")
    return file


def change(page: Path, *pairs: tuple[str, str]) -> Path:
    text = page.read_text(encoding="utf-8")
    for old, new in pairs:
        assert old in text
        text = text.replace(old, new)
    page.write_text(text, encoding="utf-8")
    return page


def problems(recipe: str | Path | None, flags: Flags = TARGET) -> list[str]:
    with pytest.raises(UsageError) as caught:
        load_plan(recipe, flags)
    text = str(caught.value)
    assert "pydantic" not in text and "https://errors" not in text
    return [str(problem) for problem in caught.value.problems]


def test_the_default_is_few_labels():
    plan = load_plan(None, Flags(target=("tflite",), max_latency="20ms"))
    assert plan.name == "fashion-mnist-few-labels"
    assert plan.data.labels == 1000 and plan.data.source.name == "arrays"
    assert plan.data.licence == "MIT" and "fashion-mnist" in plan.data.origin
    assert plan.teacher.image == plan.student.image
    assert plan.teacher.image is not None and plan.teacher.image.channels == "gray" and plan.teacher.image.size == 28
    assert plan.targets[0].budget == Budget(max_latency=0.02)
    assert plan.effort.name == "quick" and plan.schedule.epochs == plan.effort.epochs
    assert Path(plan.teacher.source.files["weights"].path).is_file()


@pytest.mark.parametrize("name", ["fashion-mnist", "fashion-mnist-full"])
def test_the_other_shipped_recipes(name: str):
    plan = load_plan(name, TARGET)
    assert plan.name == name and plan.data.labels is None
    assert plan.teacher.source.name == "torch"


def test_every_shipped_recipe_is_at_most_30_lines():
    for path in (Path(__file__).parents[1] / "models/recipes").glob("*.toml"):
        assert len(path.read_text(encoding="utf-8").splitlines()) <= 30


def test_a_page_of_the_users_own(page: Path):
    plan = load_plan(page)
    assert plan.name == "recipe"
    assert plan.data.source.files["folder"].path == str(page.parent / "photos")
    assert plan.teacher.source.name == "torch"
    assert plan.teacher.source.files["make"].member == "build"
    assert plan.student.image is not None
    assert (plan.student.image.size, plan.student.image.mean) == (32, (0.5, 0.4, 0.3))
    assert plan.targets[0].budget.max_latency == 0.02


def test_moving_everything_changes_no_store_key(page: Path, tmp_path: Path):
    before = load_plan(page).model_dump(mode="json", context=KEY)
    page.parent.rename(tmp_path / "moved")
    assert load_plan(tmp_path / "moved/recipe.toml").model_dump(mode="json", context=KEY) == before


@pytest.mark.parametrize(
    "edit",
    [
        lambda folder: (folder / "best.safetensors").write_bytes(b"others"),
        lambda folder: (folder / "my_net.py").write_text("def build(): return 1\n", encoding="utf-8"),
        lambda folder: (folder / "blocks.py").write_text("x = 1\n", encoding="utf-8"),
        lambda folder: (folder / "photos/cat/1.png").rename(folder / "photos/cat/2.png"),
        lambda folder: change(folder / "recipe.toml", ("my_net:build", "my_net:other")),
    ],
)
def test_what_the_answer_depends_on_changes_the_store_key(page: Path, edit):
    before = load_plan(page).model_dump(mode="json", context=KEY)
    edit(page.parent)
    assert load_plan(page).model_dump(mode="json", context=KEY) != before


def test_all_mistakes_of_page_and_flags_at_once(page: Path):
    change(
        page,
        ('folder = "photos"', 'folder = "fotos"\nlables = 5\nvalidation = 0'),
        ("best.safetensors", "best.pt"),
        ("my_net:build", "my_nett:build"),
        ('"resnet"', '"resnett"'),
        ("size = 64", 'size = "big"'),
        ('format = "tflite"', 'format = "tflight"'),
        ("max_latency", "max_latancy"),
    )
    found = problems(page, Flags(max_size="-1KiB", effort="fast", max_params="0", seed="-1"))
    text = "\n".join(found)
    file = str(page)
    for want in (
        f"{file}: [data] folder: {page.parent / 'fotos'} is not there. Did you mean 'photos'?",
        f"{file}: [data] lables: is not a known key. Did you mean 'labels'?",
        f"{file}: [data] validation: 0 must be at least 1",
        f"{file}: [teacher] make: {page.parent / 'my_nett.py'} is not there. Did you mean 'my_net.py'?",
        f"{file}: [teacher] weights: {page.parent / 'best.pt'} is not there. Did you mean 'best.safetensors'?",
        f"{file}: [teacher] image.size: 'big' is not a whole number",
        f"{file}: [student] family: there is no student family 'resnett'. Did you mean 'resnet'?",
        f"{file}: [[target]] format: there is no target 'tflight'. Did you mean 'tflite'?",
        f"{file}: [[target]] max_latancy: is not a known key. Did you mean 'max_latency'?",
        "--max-size: '-1KiB' must be above zero, for example 256KiB",
        "--max-params: '0' must be above zero, for example 100k",
        "--effort: there is no effort 'fast'. Choose from: quick, standard, thorough.",
        "--seed: -1 must be 0 or above",
    ):
        assert want in text
    assert len(found) == len(set(found)) == 13


@pytest.mark.parametrize(
    ("flag", "text", "hint"),
    [
        ("max_latency", "20msec", "Did you mean 20ms?"),
        ("max_latency", "20", "has no unit"),
        ("max_latency", "0ms", "must be above zero"),
        ("max_size", "16Kib", "Did you mean 16KiB?"),
        ("max_params", "0.4", "must be at least 1"),
        ("max_macs", "many", "is not a count"),
        ("min_accuracy", "120%", "more than 100%"),
        ("max_drop", "1point", "unknown unit 'point'"),
        ("threads", "0", "must be at least 1"),
        ("precision", "int9", "Did you mean 'int8'?"),
        ("max_time", "-5m", "must be above zero"),
        ("teacher_share", "half", "is not a share"),
    ],
)
def test_a_bad_flag_is_named_as_it_is_typed(flag: str, text: str, hint: str):
    (problem,) = problems(None, Flags.model_validate({"target": ("tflite",), flag: text}))
    assert problem.startswith(f"--{flag.replace('_', '-')}: ") and hint in problem


def test_a_missing_page_does_not_hide_mistakes_of_flags():
    found = problems("no/such.toml", Flags(target=("onx",), max_size="5 bites"))
    assert len(found) == 3 and found[0].endswith("no/such.toml: this file is not there")


def test_an_unknown_recipe_gets_the_nearest_name():
    (problem,) = problems("fashion-minst")
    assert problem == "RECIPE: there is no recipe card 'fashion-minst'. Did you mean 'fashion-mnist'?"


def test_no_target_is_a_mistake():
    assert problems(None, Flags()) == ["--target: no target is named. Write for example --target tflite"]


def test_flags_choose_targets_and_win_over_the_page(page: Path):
    plan = load_plan(page, Flags(target=("onnx,tflite",), max_size="1MiB"))
    assert [target.name for target in plan.targets] == ["onnx", "tflite"]
    assert plan.targets[0].budget == Budget(max_size=1024**2)
    assert plan.targets[1].budget == Budget(max_latency=0.02, max_size=1024**2)
    assert load_plan(page, Flags(max_latency="1s")).targets[0].budget.max_latency == 1.0


def test_the_same_target_twice_on_a_page_is_a_mistake(page: Path):
    change(page, ("[[target]]", '[[target]]\nformat = "litert"\n[[target]]'))
    assert problems(page, Flags()) == [f"{page}: [[target]]: tflite is named twice. Keep one"]


def test_wrong_and_right_checksum(page: Path):
    right = load_plan(page).teacher.source.files["weights"].sha256
    change(page, ("[student]", f'sha256 = "{right}"\n[student]'))
    assert load_plan(page).teacher.source.settings["sha256"] == right
    change(page, (right, "0" * 64))
    (problem,) = problems(page, Flags())
    assert problem.startswith(f"{page}: [teacher] sha256: ") and right in problem


def test_a_damaged_file_of_a_data_card_is_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.chdir(tmp_path)
    folder = tmp_path / "models/data/small"
    folder.mkdir(parents=True)
    np.savez(folder / "train.npz", x=np.zeros((2, 2)))
    text = '[data]\narrays = "train.npz"\n[sha256]\n"train.npz" = "00"\n'
    (folder / "card.toml").write_text(text, encoding="utf-8")
    (tmp_path / "r.toml").write_text(
        '[data]\nname = "small"\n[teacher]\nname = "fashion-mnist-resnet"\n[student]\nfamily = "resnet"\n',
        encoding="utf-8",
    )
    (problem,) = problems("r.toml")
    assert "models/data/small/card.toml: [sha256]: " in problem and "has another sha256" in problem


def test_images_of_a_folder_need_preprocessing(page: Path):
    change(page, ("image = { size = 64, mean = [0.5, 0.4, 0.3], std = [0.2, 0.2, 0.1] }\n", ""))
    (problem,) = problems(page, Flags())
    assert problem.startswith(f"{page}: [teacher] image: is missing") and "mean" in problem


@pytest.mark.parametrize(
    ("old", "new", "want"),
    [
        ("mean = [0.5, 0.4, 0.3]", "mean = [0.5, 0.4]", "image.mean: has 2 values, but rgb images have 3"),
        ("std = [0.2, 0.2, 0.1]", "std = [0.2, 0.0, 0.1]", "image.std: [0.2, 0.0, 0.1] must be above zero"),
        ("size = 64", "size = 0", "image.size: 0 is not above zero"),
        ("size = 64", "sise = 64", "image.sise: is not a known key. Did you mean 'size'?"),
    ],
)
def test_bad_preprocessing(page: Path, old: str, new: str, want: str):
    change(page, (old, new))
    assert want in "\n".join(problems(page, Flags()))


@pytest.mark.parametrize(
    ("channels", "mean"), [("bgr", (0.3, 0.4, 0.5)), ("gray", (pytest.approx(0.4),)), ("rgb", (0.5, 0.4, 0.3))]
)
def test_a_students_channels_carry_the_teachers_mean(page: Path, channels: str, mean: tuple[float, ...]):
    change(page, ("size = 32", f'size = 32, channels = "{channels}"'))
    image = load_plan(page).student.image
    assert image is not None and image.mean == mean


def test_a_size_under_student_is_known_as_written_and_asks_nothing_new_where_there_is_none(page: Path):
    written = load_plan(page).student
    assert written.sized and written.model_dump(context=KEY)["sized"] is True
    change(page, ("size = 32", 'channels = "gray"'))
    other = load_plan(page).student
    assert not other.sized and other.image.size == 64 and "sized" not in other.model_dump(context=KEY)


def test_unknown_tables_and_keys_of_the_page(page: Path):
    change(page, ("[data]", 'descripton = "x"\n[trian]\nepochs = 3\n[data]'))
    found = problems(page, Flags())
    assert f"{page}: descripton: is not a known key. Did you mean 'description'?" in found
    assert f"{page}: [trian]: is not a table of a recipe. Did you mean 'train'?" in found


def test_missing_tables_are_all_told(tmp_path: Path):
    file = tmp_path / "empty.toml"
    file.write_text("", encoding="utf-8")
    found = problems(file)
    assert [text for text in found if "is missing" in text] == [
        f"{file}: [{name}]: is missing. Add a [{name}] table" for name in ("data", "teacher", "student")
    ]


def test_training_keys(page: Path):
    change(page, ("[student]", '[train]\neffort = "standard"\nepochs = 5\nseed = 3\nteacher_share = "50%"\n[student]'))
    plan = load_plan(page, Flags(seed="9", max_time="10m"))
    assert (plan.effort.name, plan.effort.seeds, plan.effort.epochs, plan.schedule.epochs) == ("standard", 3, 5, 5)
    assert (plan.seed, plan.teacher_share, plan.max_time) == (9, 0.5, 600.0)
    assert (plan.augment, plan.mirror) == (True, True)


def test_mirroring_is_switched_off_where_left_and_right_matter(page: Path):
    change(page, ("[student]", "[train]\nmirror = false\n[student]"))
    plan = load_plan(page, TARGET)
    assert (plan.augment, plan.mirror) == (True, False)
    change(page, ("mirror = false", 'mirror = "sometimes"'))
    (problem,) = problems(page)
    assert problem.startswith(f"{page}: [train] mirror: ")


def test_grids_of_different_length_are_not_fair(page: Path):
    change(page, ("[student]", "[train]\ndistill = [[1.0, 0.9]]\ncontrol = [[1.0, 1.0], [0.3, 1.0]]\n[student]"))
    (problem,) = problems(page, Flags())
    assert problem.startswith(f"{page}: [train] distill: the grids differ: 1 points of distill, 2 of control")


def test_a_grid_of_ones_own_is_of_plain_distillation_with_as_many_points_for_the_control(page: Path):
    change(page, ("[student]", "[train]\ndistill = [[1.0, 0.9], [2.0, 0.5]]\n[student]"))
    effort = load_plan(page, Flags(target=("tflite",))).effort
    assert effort.methods == ("kd",) and effort.control == CONTROL[:2]


def test_methods_that_race_have_as_many_points_for_the_control(page: Path):
    change(page, ("[student]", '[train]\nmethods = ["dkd", "dist"]\n[student]'))
    effort = load_plan(page, Flags(target=("tflite",))).effort
    assert effort.methods == ("dkd", "dist") and effort.control == CONTROL[:2]


def test_objectives_and_a_scheme_of_the_recipe(page: Path):
    written = 'objectives = [{ use = "cross_entropy", weight = 0.5 }, { use = "dkd", beta = 4.0 }]'
    change(page, ("[student]", f'[train]\n{written}\nscheme = {{ use = "born-again", generations = 2 }}\n[student]'))
    plan = load_plan(page, Flags(target=("tflite",)))
    assert [(one.use.name, one.weight, one.use.settings) for one in plan.objectives] == [
        ("cross_entropy", 0.5, {}), ("dkd", 1.0, {"beta": 4.0}),
    ]  # fmt: skip
    assert plan.scheme == Choice(name="born_again", settings={"generations": 2})


@pytest.mark.parametrize(
    ("written", "says"),
    [
        (
            'objectives = [{ use = "dkdd" }]',
            "[train] objectives[0].use: there is no objective 'dkdd'. Did you mean 'dkd'?",
        ),
        ('objectives = [{ use = "dkd", bta = 1 }]', "[train] objectives[0].bta: is not a setting of dkd. Did you mean"),
        (
            'objectives = [{ use = "kd", weight = -1 }]',
            "[train] objectives[0].weight: -1 is not a number of 0 or above",
        ),
        ("objectives = []", "[train] objectives: is not a list of tables"),
        ('scheme = "mutal"', "[train] scheme.use: there is no scheme 'mutal'. Did you mean 'mutual'?"),
        ('scheme = { use = "mutual", pears = 3 }', "[train] scheme.pears: is not a setting of mutual. Did you mean"),
        ("scheme = 3", "[train] scheme: 3 is neither a name nor a table"),
        ('methods = ["dkkd"]', "[train] methods: there is no method 'dkkd'. Did you mean 'dkd'?"),
        ("methods = []", "[train] methods: names no method"),
    ],
)
def test_what_a_recipe_may_not_say_of_learning(page: Path, written: str, says: str):
    change(page, ("[student]", f"[train]\n{written}\n[student]"))
    (problem,) = problems(page, Flags())
    assert problem.startswith(f"{page}: {says}")


def test_a_student_of_the_users_own_is_not_searched(page: Path):
    change(page, ('family = "resnet"', 'make = "my_net:build"\narguments = { width = 4 }'))
    student = load_plan(page).student
    assert student.family.name == "module" and not student.search
    assert student.family.settings["arguments"] == {"width": 4}


def test_two_sources_at_once_are_refused(page: Path):
    change(page, ('folder = "photos"', 'folder = "photos"\narrays = "x.npz"'))
    assert f"{page}: [data]: names both 'folder' and 'arrays'. Keep one of them" in problems(page, Flags())


def test_no_source_at_all_lists_the_ways(page: Path):
    change(page, ('folder = "photos"', "labels = 5"))
    (problem,) = problems(page, Flags())
    assert "does not say which to use" in problem and "folder" in problem and "arrays" in problem


def test_an_ensemble_pins_the_files_of_its_members(page: Path):
    (page.parent / "b.safetensors").write_bytes(b"b")
    one = '{ make = "my_net:build", weights = "best.safetensors" }'
    members = f"[{one}, {one.replace('best', 'b')}]"
    change(page, ('make = "my_net:build"\nweights = "best.safetensors"', f"ensemble = {members}"))
    teacher = load_plan(page).teacher.source
    assert teacher.name == "ensemble"
    assert [member["name"] for member in teacher.settings["members"]] == ["torch", "torch"]
    assert {"members.0.weights", "members.1.weights", "members.0.make"} <= set(teacher.files)


def test_a_missing_file_of_a_member_is_named(page: Path):
    change(page, ('make = "my_net:build"\nweights = "best.safetensors"', 'ensemble = [{ weights = "no.pt" }]'))
    assert any("[teacher] ensemble[0].weights: " in text for text in problems(page, Flags()))


def test_sequences_without_images_need_no_preprocessing(page: Path):
    """A task of ids and a mask: arrays, outputs saved earlier, no image anywhere."""
    np.savez(page.parent / "ids.npz", ids=np.zeros((4, 3), np.int64), mask=np.ones((4, 3)), y=np.zeros(4))
    np.savez(page.parent / "out.npz", train=np.zeros((4, 2)))
    page.write_text(
        '[data]\narrays = "ids.npz"\n[teacher]\nsaved = "out.npz"\n[student]\nmake = "my_net:build"\n', encoding="utf-8"
    )
    plan = load_plan(page, Flags(target=("onnx",)))
    assert plan.teacher.image is None and plan.student.image is None
    assert plan.teacher.source.name == "saved" and plan.student.family.name == "module"


def test_a_program_is_trusted_only_by_the_flag(page: Path):
    (page.parent / "net.pt2").write_bytes(b"program")
    change(page, ('make = "my_net:build"\nweights = "best.safetensors"', 'program = "net.pt2"'))
    assert load_plan(page).teacher.trust is False
    assert load_plan(page, Flags(trust=True)).teacher.trust is True


@pytest.mark.parametrize("line", ["max_latency = 20.0", "max_size = 256"])
def test_a_bare_number_is_no_time_and_no_size(page: Path, line: str):
    change(page, ('max_latency = "20ms"', line))
    (problem,) = problems(page, Flags())
    key, _, number = line.partition(" = ")
    assert problem.startswith(f"{page}: [[target]] {key}: {number} has no unit. Write for example")
