"""What docs/ says: its recipes parse, its code runs, its commands and flags exist, its tables are those of the code."""

import importlib
import re
import shlex
import sys
import tomllib
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image
from typer.main import get_command

from edgekd import cli, files, plugins, units
from edgekd.divergence.causes import FAR_OUT, LARGEST_HALF, RULES, UNEQUAL
from edgekd.divergence.measures import THRESHOLDS
from edgekd.mistakes import nearest
from edgekd.nets import inner, networks, terms
from edgekd.plugins import Batch
from edgekd.recipes.choices import setting_names
from edgekd.recipes.effort import PRESETS
from edgekd.recipes.flags import Flags
from edgekd.recipes.recipe import DATA_KEYS, PLAN_KEYS, load_plan
from edgekd.results import File, Signature, SoftTargets, Splits, TensorSpec
from edgekd.spec import Architecture, Budget, Choice, Data, Effort, Objective, Schedule
from edgekd.spec import Image as Preparation
from edgekd.stages import split, train
from edgekd.steps import Split, Train
from edgekd.workspace import Workspace

ROOT = Path(__file__).parents[1]
PAGES = sorted((ROOT / "docs").glob("*.md"))
BLOCK = re.compile(r"^```(\w+)(?: (\w+)=(\S+))?\n(.*?)^```$", re.MULTILINE | re.DOTALL)
TFLITE = Flags(target=("tflite",))


def blocks(page: Path) -> list[tuple[str, str, str, str]]:
    """(language, mark, value, text) of every fenced block; a mark is for example file=my_net.py."""
    return BLOCK.findall(page.read_text(encoding="utf-8"))


def written(page: str, folder: Path) -> list[Path]:
    """Write the files that a page shows."""
    made = []
    for _, mark, name, text in blocks(ROOT / "docs" / page):
        if mark == "file":
            path = folder / name
            path.parent.mkdir(exist_ok=True)
            path.write_text(text, encoding="utf-8")
            made.append(path)
    return made


@pytest.fixture
def project(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """A user's folder with the photographs, arrays and weights that the pages' recipes name."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("XDG_CONFIG_HOME", str(tmp_path / "config"))
    for folder in ("photos", "photos_test", "more_photos"):
        for kind in ("cat", "dog"):
            (tmp_path / folder / kind).mkdir(parents=True)
            Image.new("RGB", (9, 7)).save(tmp_path / folder / kind / "1.png")
    for name in ("texts", "texts_test"):
        ids = np.ones((2, 16), np.int64)
        np.savez(tmp_path / f"{name}.npz", ids=ids, mask=ids, y=np.arange(2))
    np.savez(tmp_path / "images.npz", x=np.zeros((2, 32, 32, 3), np.uint8), y=np.arange(2))
    np.savez(tmp_path / "outputs.npz", train=np.zeros((2, 2), np.float32))
    names = ("best.pt", "epoch_90.pt", "start.pt", "text.safetensors", "other.onnx", "teacher.onnx", "teacher.pt2")
    for name in names:
        (tmp_path / name).write_bytes(b"what is in it is looked at later")
    written("teacher.md", tmp_path)
    (tmp_path / "my_small.py").write_bytes((tmp_path / "my_net.py").read_bytes())
    monkeypatch.syspath_prepend(str(tmp_path))
    yield tmp_path
    for name in ("my_net", "my_text", "my_data"):
        sys.modules.pop(name, None)


def test_every_recipe_of_the_examples_is_a_plan(project: Path):
    recipes = [path for path in written("examples.md", project) if path.suffix == ".toml"]
    plans = {path.stem: load_plan(path, TFLITE) for path in recipes}
    assert {name: plan.data.source.name for name, plan in plans.items()} == {
        "photos": "folder", "few_labels": "folder", "texts": "arrays", "ensemble": "python", "saved": "arrays",
    }  # fmt: skip
    kinds = ("torch", "torch", "torch", "ensemble", "saved")
    assert [plan.teacher.source.name for plan in plans.values()] == list(kinds)
    assert plans["photos"].targets[0].budget.max_latency == 0.02
    assert plans["few_labels"].student.image == Preparation(size=64, channels="gray")
    assert plans["texts"].teacher.image is None and not plans["texts"].student.search
    assert not plans["ensemble"].mirror and plans["ensemble"].teacher_share == 0.5


@pytest.mark.parametrize(
    ("page", "task", "source", "family"),
    [
        ("sensors.md", "sensors/watch", "arrays", "conv1d"),
        ("text.md", "text/movie", "texts", "transformer"),
        ("sound.md", "sound/prompts", "sounds", "dscnn"),
        ("recommendation.md", "recommendation/films", "arrays", "two_tower"),
        ("regression.md", "regression/diabetes", "arrays", "mlp"),
        ("heads.md", "heads/wrist", "arrays", "conv1d"),
    ],
)
def test_the_recipe_of_a_task_is_a_plan(page: str, task: str, source: str, family: str, project: Path):
    folder, _, name = task.partition("/")
    examples = ROOT / "docs/examples" / folder
    for module in sorted(examples.glob("*.py")):
        (project / module.name).write_bytes(module.read_bytes())
    for data in (
        "watch.npz",
        "watch_test.npz",
        "wrist.npz",
        "wrist_test.npz",
        "films.npz",
        "films_test.npz",
        "diabetes.npz",
        "diabetes_test.npz",
        "movie.tsv",
        "movie_test.tsv",
        "tokenizer.json",
    ):
        (project / data).write_bytes(b"what is in it is looked at later")
    for folder in ("prompts", "prompts_test"):
        (project / folder / "en").mkdir(parents=True)
    (project / f"{name}_teacher.safetensors").touch()
    (recipe,) = [path for path in written(page, project) if path.suffix == ".toml"]
    assert recipe.read_bytes() == (examples / f"{name}.toml").read_bytes(), "the page and the file say the same"
    plan = load_plan(recipe, TFLITE)
    assert (plan.data.source.name, plan.student.family.name) == (source, family)
    settings = plugins.find("datasets", source).Settings.model_validate(plan.data.source.settings)
    assert plan.teacher.image is None and settings.model_dump()["test"]


@pytest.mark.parametrize(
    "task", ["sensors/watch", "text/movie", "sound/prompts", "recommendation/films", "regression/diabetes"]
)
def test_the_teacher_of_a_task_can_be_built(task: str, monkeypatch: pytest.MonkeyPatch):
    folder, _, name = task.partition("/")
    monkeypatch.syspath_prepend(str(ROOT / "docs/examples" / folder))
    recipe = tomllib.loads((ROOT / f"docs/examples/{task}.toml").read_text(encoding="utf-8"))
    module = importlib.import_module(f"{name}_teacher")
    net = module.build(**recipe["teacher"].get("arguments", {})).eval()
    shapes = {"watch": (2, 100, 6), "prompts": (2, 61, 40), "diabetes": (2, 10)}
    if name in ("movie", "films"):
        whole = torch.ones(2, 48 if name == "movie" else 1, dtype=torch.int64)
        outputs = net(whole, whole)
    else:
        outputs = net(torch.randn(shapes[name]))
    logits = outputs["logits"] if isinstance(outputs, dict) else outputs
    told = {"watch": 7, "prompts": 5, "movie": 2, "films": 2, "diabetes": 1}[name]
    assert logits.shape == (2, told) and torch.isfinite(logits).all()
    sys.modules.pop(f"{name}_teacher")


def test_the_page_of_pretrained_weights_shows_its_recipe_and_that_is_a_plan(project: Path):
    examples = ROOT / "docs/examples/pretrained"
    for module in examples.glob("*.py"):
        (project / module.name).write_bytes(module.read_bytes())
    for name in ("clothes.npz", "clothes_test.npz", "lite0.pth", "lite_teacher.safetensors"):
        (project / name).write_bytes(b"what is in it is looked at later")
    (recipe,) = written("pretrained.md", project)
    assert recipe.read_bytes() == (examples / "lite.toml").read_bytes(), "the page and the file say the same"
    plan = load_plan(recipe, TFLITE)
    assert plan.student.family.settings["fresh"] == ["_fc"] and "weights" in plan.student.family.files
    assert plan.student.image == plan.teacher.image.model_copy(update={"size": 64})


def test_the_teacher_with_heads_answers_for_those_that_its_page_names(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.syspath_prepend(str(ROOT / "docs/examples/heads"))
    recipe = tomllib.loads((ROOT / "docs/examples/heads/wrist.toml").read_text(encoding="utf-8"))
    outputs = importlib.import_module("wrist_teacher").build().eval()(torch.randn(2, 100, 6))
    told = {name: tuple(outputs[name].shape) for name in recipe["data"]["classes"]}
    assert told == {name: (2, len(classes)) for name, classes in recipe["data"]["classes"].items()}
    sys.modules.pop("wrist_teacher")


def test_every_teacher_of_the_page_is_a_plan(project: Path):
    rest = '\n[data]\ntrain = "images.npz"\n[student]\nfamily = "convnet"\nimage = { size = 32 }\n'
    teachers = [text for _, mark, _, text in blocks(ROOT / "docs/teacher.md") if mark == "part"]
    found = []
    for text in teachers:
        (project / "recipe.toml").write_text(text + rest, encoding="utf-8")
        found.append(load_plan("recipe.toml", TFLITE).teacher.source.name)
    assert sorted(found) == list(plugins.names("teachers"))


def test_the_code_of_the_pages_runs(project: Path):
    written("examples.md", project)
    net = importlib.import_module("my_net").build(width=4)
    assert net(torch.zeros(2, 3, 16, 16)).shape == (2, 3)
    text = importlib.import_module("my_text").build(width=4)
    assert text(torch.ones(2, 16, dtype=torch.int64), torch.ones(2, 16, dtype=torch.int64)).shape == (2, 2)
    loaded = importlib.import_module("my_data").load()
    source = plugins.find("datasets", "python").pools.source(
        {"train": loaded["train"]}, {"train": "a test"}, loaded["classes"], plugins.Canvas(32, "rgb", "bilinear")
    )
    assert source.classes == ("cat", "dog", "neither") and len(source.train.labels) == 300


@pytest.fixture
def package(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """The package of docs/example_plugin.md, installed: its entry points are found as those of any distribution."""
    monkeypatch.chdir(tmp_path)
    written("example_plugin.md", tmp_path)
    (tmp_path / "edgekd_more/__init__.py").touch()
    about = tomllib.loads((tmp_path / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    info = tmp_path / "edgekd_more-0.1.dist-info"
    info.mkdir()
    (info / "METADATA").write_text(f"Metadata-Version: 2.1\nName: {about['name']}\nVersion: {about['version']}\n")
    groups = [
        f"[{group}]\n" + "".join(f"{name} = {module}\n" for name, module in points.items())
        for group, points in about["entry-points"].items()
    ]
    (info / "entry_points.txt").write_text("\n".join(groups), encoding="utf-8")
    monkeypatch.syspath_prepend(str(tmp_path))
    known = (plugins._modules, plugins.declared, plugins.code)
    for one in known:
        one.cache_clear()
    yield tmp_path
    for one in known:
        one.cache_clear()
    for name in [name for name in sys.modules if name.partition(".")[0] == "edgekd_more"]:
        del sys.modules[name]


def test_the_package_of_the_page_reaches_a_plan(package: Path):
    (package / "my_net.py").write_text("def build(): ...\n", encoding="utf-8")
    (package / "flowers.csv").write_text("0,1.5,2\n", encoding="utf-8")
    plan = load_plan("recipe.toml", TFLITE)
    assert (plan.data.source.name, plan.data.metric, plan.student.family.name) == ("csv", "top2", "perceptron")
    assert plan.data.source.files["file"].sha256 == files.digest(package / "flowers.csv")
    declared = plugins.declared("objectives", "logits")
    assert declared.summary == "Match the teacher's logits themselves, up to a constant." and declared.version == 1


def flowers(package: Path, out: Workspace) -> Splits:
    """Three kinds that two numbers tell apart, read by the page's data set and split."""
    random = np.random.default_rng(0)
    label = np.arange(240) % 3
    rows = np.column_stack([label, random.normal(0, 0.3, (240, 2)) + np.stack([label, -label], 1)])
    np.savetxt(package / "flowers.csv", rows, delimiter=",")
    (package / "my_net.py").write_text("def build(): ...\n", encoding="utf-8")
    plan = load_plan("recipe.toml", TFLITE)
    return split.run(Split(data=plan.data, images=(), seed=0), out)


def test_the_parts_of_the_page_work_together(package: Path):
    entries = package / "entries"
    splits = flowers(package, Workspace(package / "split", entries, "ab" + "0" * 62))
    (entries / "ab").mkdir(parents=True)
    (package / "split").rename(entries / "ab" / ("ab" + "0" * 62))
    soft = np.full((1, splits.parts["train"].count, 3), -4, np.float16)
    labels = np.load(entries / "ab" / ("ab" + "0" * 62) / splits.parts["train"].labels.name)
    soft[0, np.arange(len(labels)), labels] = 4
    (entries / "cd" / ("cd" + "0" * 62)).mkdir(parents=True)
    np.save(entries / "cd" / ("cd" + "0" * 62) / "train.npy", soft)
    targets = SoftTargets(
        train=File(entry="cd" + "0" * 62, name="train.npy", sha256="", size=0),
        parts={}, views=1, seed=0, seconds_per_view=0.0,
    )  # fmt: skip
    (package / "train").mkdir()
    family = plugins.find("students", "perceptron")
    sizes = [settings.hidden for settings in family.space(family.Settings(), ())]
    assert sizes == [4, 8, 16, 32, 64] and len(family.space(family.Settings(hidden=9), ())) == 1
    step = Train(
        networks=(Architecture(family=Choice(name="perceptron", settings={"hidden": 16})),),
        objectives=(Objective(use=Choice(name="logits"), weight=1.0),),
        splits=splits, schedule=Schedule(epochs=12, batch=32), soft_targets=targets, metric="top2",
    )  # fmt: skip
    trained = train.run(step, Workspace(package / "train", entries, "ef" + "0" * 62))
    assert trained.checkpoints[0].validation_accuracy > 0.9


def test_the_objective_of_the_page_ignores_a_constant(package: Path):
    objective = plugins.find("objectives", "logits")
    teacher = torch.tensor([[1.0, 2.0, 3.0]])
    batch = Batch(labels=torch.tensor([-1]), teacher=teacher)
    assert objective.loss(objective.Settings(), {"logits": teacher + 7}, batch).item() == pytest.approx(0, abs=1e-6)
    assert objective.loss(objective.Settings(), {"logits": teacher * 2}, batch).item() > 0.1


# -- words and tables --


def command(name: str) -> Any:
    return get_command(importlib.import_module(f"edgekd.cli.{name}").app)


def shell_lines() -> list[tuple[str, str]]:
    found = []
    for page in [*PAGES, ROOT / "README.md"]:
        inside = [text for language, _, _, text in blocks(page) if language == "sh"]
        inside += re.findall(r"`(edgekd [a-z][^`]*)`", page.read_text(encoding="utf-8").replace("\n", " "))
        found += [(page.name, line.strip()) for text in inside for line in text.splitlines() if "edgekd " in line]
    return [(page, line) for page, line in found if line.startswith("edgekd ")]


@pytest.mark.parametrize(("page", "line"), shell_lines())
def test_every_command_and_flag_that_is_shown_exists(page: str, line: str):
    _, name, *rest = shlex.split(line.partition(" > ")[0].partition("#")[0])
    assert name in cli.COMMANDS or name == "COMMAND", nearest(name, cli.COMMANDS)
    if name == "COMMAND":
        return
    found = command(name)
    if hasattr(found, "commands"):
        found = found.commands[rest[0]]
    options = {flag for parameter in found.params for flag in parameter.opts} | {"--help", "-h"}
    assert [word for word in rest if word.startswith("-") and word.partition("=")[0] not in options] == []


def test_build_names_all_its_flags():
    page = (ROOT / "docs/build.md").read_text(encoding="utf-8")
    flags = [flag for parameter in command("build").params for flag in parameter.opts if flag.startswith("--")]
    assert [flag for flag in flags if flag not in (page + "--help")] == []


def test_the_page_of_differences_has_the_limits_and_causes_of_the_code():
    limits = table("diff.md", "What the numbers say")
    assert {name: float(cells[0]) for name, cells in limits.items() if name != "header"} == THRESHOLDS
    assert list(table("diff.md", "Causes"))[1:] == [rule.name for rule in RULES]
    page = (ROOT / "docs/diff.md").read_text(encoding="utf-8")
    for number in (UNEQUAL, FAR_OUT, LARGEST_HALF):
        assert f"{number:.0f}" in page


def test_the_index_names_all_pages_and_commands():
    page = (ROOT / "docs/README.md").read_text(encoding="utf-8")
    assert [path.name for path in PAGES if path.name != "README.md" and f"({path.name})" not in page] == []
    assert [name for name in cli.COMMANDS if f"`edgekd {name}" not in page] == []


def test_links_lead_somewhere():
    for page in [*PAGES, ROOT / "CHANGELOG.md"]:
        for link in re.findall(r"\]\(([^)#]+)", page.read_text(encoding="utf-8")):
            assert link.startswith("https://") or (page.parent / link).exists(), f"{page.name}: {link}"


def table(page: str, heading: str) -> dict[str, list[str]]:
    """Rows of the first table below a heading, by their first cell; the header under "header"."""
    text = (ROOT / "docs" / page).read_text(encoding="utf-8")
    first = text.partition(f"## {heading}\n")[2].partition("\n|")[2].partition("\n\n")[0]
    rows = [[cell.strip().strip("`") for cell in line.strip("|").split(" |")] for line in first.splitlines()]
    return {"header": rows[0][1:]} | {row[0]: row[1:] for row in rows[2:]}


def test_the_efforts_are_those_of_the_code():
    shown, efforts = table("build.md", "Effort"), list(PRESETS.values())
    assert shown["seeds"] == [str(effort.seeds) for effort in efforts]
    assert shown["epochs of a full training"] == [str(effort.epochs) for effort in efforts]
    assert shown["epochs of a trial"] == [str(effort.trial_epochs) for effort in efforts]
    assert shown["trials, each with and without the teacher"] == [str(len(effort.control)) for effort in efforts]
    assert shown["views of each training image"] == [str(effort.views) for effort in efforts]
    assert shown["candidates priced at most"] == [str(effort.candidates) for effort in efforts]
    minutes = [
        units.seconds(text.replace(" min", "m")) for text in shown["time that one training may take, by estimate"]
    ]
    assert minutes == [effort.train_seconds for effort in efforts]


@pytest.mark.parametrize("key", ["validation", "calibration", "test_share", "metric"])
def test_defaults_of_the_data(key: str):
    assert table("recipe.md", "[data]")[key][0].strip('`"') == str(Data.model_fields[key].default)


def test_defaults_of_the_training():
    shown = table("recipe.md", "[train]")
    given = {name.strip("` "): cells[0] for name, cells in shown.items()}
    assert given["batch"] == "by samples" and Schedule.model_fields["batch"].default is None
    rates = [str(Schedule.model_fields[key].default) for key in ("learning_rate", "weight_decay")]
    assert given["learning_rate`, `weight_decay"] == ", ".join(rates)
    others = [str(Schedule.model_fields[key].default) for key in ("warmup_share", "ema_decay")]
    assert given["warmup_share`, `ema_decay"] == ", ".join(others)


def test_the_recipe_page_names_every_key():
    page = (ROOT / "docs/recipe.md").read_text(encoding="utf-8")
    keys = {*DATA_KEYS, *PLAN_KEYS, *Schedule.model_fields, *Effort.model_fields, *Budget.model_fields}
    keys |= {"format", "device", "precision", "threads", "search", "image"} | set(Preparation.model_fields)
    for kind, names in (("datasets", ("folder", "arrays", "python")), ("students", plugins.names("students"))):
        for name in names:
            keys |= set(setting_names(kind, name)) - ({"teacher"} if kind == "students" else set())
    assert sorted(key for key in keys if not re.search(rf"\b{key}\b", page)) == []


def test_the_teacher_page_names_every_key():
    page = (ROOT / "docs/teacher.md").read_text(encoding="utf-8")
    keys = {key for name in plugins.names("teachers") for key in plugins.find("teachers", name).Settings.model_fields}
    assert sorted(key for key in keys - {"file"} if key not in page) == []


def test_formats_and_platforms_are_those_of_the_plug_ins():
    shown, places = table("build.md", "Targets"), table("devices.md", "What works where")
    columns = {
        "Linux x86-64": "linux-x86_64", "Linux arm64": "linux-aarch64",
        "macOS arm64": "darwin-arm64", "macOS x86-64": "darwin-x86_64",
    }  # fmt: skip
    assert {"tflite", "onnx", "openvino", "coreml", "header"} <= set(places) <= {"header", *plugins.names("formats")}
    for name in sorted(set(places) - {"header"}):
        aliases = plugins.declared("formats", name).aliases
        assert shown[name][0].replace("`", "") == ", ".join(aliases)
        for column, cell in zip(places["header"], places[name], strict=True):
            sides = [
                word
                for word, kind in (("convert", "formats"), ("run", "runtimes"))
                if columns[column] in plugins.declared(kind, name).platforms
            ]
            assert cell == ", ".join(sides), f"{name} on {column}"


def test_precisions_are_those_of_the_formats():
    described = set(table("devices.md", "What works where")) - {"header"}
    for precision, (_, made_for) in table("precision.md", "The words").items():
        if precision != "header":
            have = {name for name in described if precision in plugins.declared("formats", name).precisions}
            assert (described if made_for == "all" else set(made_for.split(", "))) == have, precision


def test_the_kinds_of_plug_ins_are_those_of_the_code():
    named = re.findall(r"\w+", " ".join(table("extend.md", "The kinds")))
    assert [kind for kind in plugins.KINDS if kind not in named and kind != "stages"] == []


def test_the_methods_are_the_objectives_of_the_code():
    shown = table("objectives.md", "The methods")
    words = {(): "nothing", ("logits",): "soft targets", ("inner",): "inner values"}
    words[("logits", "inner")] = "soft targets, or inner values"
    needs = {name: words[plugins.declared("objectives", name).needs] for name in plugins.names("objectives")}
    assert {name: cells[2] for name, cells in shown.items() if name != "header"} == needs
    page = (ROOT / "docs/objectives.md").read_text(encoding="utf-8")
    defaults = set(re.findall(r"\w+", " ".join(table("objectives.md", "Naming inner values")))) - {"header"}
    assert defaults == {name for name in needs if plugins.declared("objectives", name).inner}
    for name in plugins.names("objectives"):
        keys = set(plugins.find("objectives", name).Settings.model_fields)
        assert [key for key in sorted(keys) if not re.search(rf"\b{key}\b", page)] == [], name


def test_the_objectives_of_the_page_suit_the_shipped_teacher_and_student():
    texts = [text for _, mark, value, text in blocks(ROOT / "docs/objectives.md") if (mark, value) == ("part", "train")]
    image = networks.image_spec("image", Preparation(size=28, channels="gray"), 28)
    signature = Signature(inputs=(image,), outputs=(TensorSpec(name="logits", shape=(-1, 10)),))
    surveys = []
    for family in ("convnet", "resnet"):
        network = networks.build(Architecture(family=Choice(name=family)), signature)
        batch = {"image": torch.zeros(3, 1, 28, 28)}
        surveys.append(inner.survey(network, lambda n=network, b=batch: networks.forward(n, b, signature)))
    of_both, alone = (terms.make(_objectives(text), terms.Sides(True, *surveys)) for text in texts)
    assert [one.use.name for one in _objectives(texts[0])] == ["cross_entropy", "kd", "hint", "similarity"]
    assert (of_both.student, of_both.teacher) == (("blocks",), ("blocks.1", "blocks"))
    assert [one.use.name for one in _objectives(texts[1])] == ["cross_entropy", "kd", "deep_to_shallow"]
    assert (alone.student, alone.teacher) == (("blocks.1", "blocks.3", "blocks"), ())


def _objectives(text: str) -> list[Objective]:
    written = [(dict(one), one.get("weight", 1.0)) for one in tomllib.loads(text)["train"]["objectives"]]
    return [
        Objective(use=Choice(name=one.pop("use"), settings={k: v for k, v in one.items() if k != "weight"}), weight=w)
        for one, w in written
    ]


def test_exit_statuses_are_those_of_the_code():
    shown = table("build.md", "Exit statuses")
    assert list(shown)[1:] == ["0", "1", "2", "3", "4", "130"]
