"""The command line: exit statuses, messages without tracebacks, JSON alone, and nothing heavy imported for help."""

import json
import os
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner, Result

from edgekd import cli
from edgekd.bundle.verify import Finding
from edgekd.cli import build as build_command
from edgekd.cli import plan as plan_command
from edgekd.cli.build import default_out
from edgekd.cli.verify import status, verdict
from edgekd.commands.forecast import Forecast
from edgekd.errors import Problem, StepFailed, UsageError
from edgekd.policies.known import Outlook
from edgekd.recipes.effort import PRESETS
from edgekd.recipes.flags import Flags
from edgekd.recipes.recipe import load_plan
from edgekd.results import Measurement, PartFiles, Report, Row, Splits
from edgekd.spec import Architecture, Choice, Plan
from tests import plugged

HEAVY = ("torch", "onnxruntime", "openvino", "coremltools", "litert_torch", "ai_edge_litert", "scipy", "matplotlib")


def run(*arguments: str) -> Result:
    return CliRunner().invoke(cli.app, list(arguments))


@pytest.fixture(autouse=True)
def elsewhere(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """An empty current folder, and no store or config of the user's."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("EDGEKD_STORE", str(tmp_path / "store"))
    monkeypatch.setenv("XDG_CONFIG_HOME", str(tmp_path / "config"))
    yield tmp_path


def made(plan: Plan, status: str = "fits") -> Report:
    """A report as build would give it, without any number."""
    nothing = Measurement(basis="not measured", why="a test")
    row = Row(role="student", target="tflite", precision="int8", measurement=nothing)
    return Report.model_validate(
        {
            "edgekd": "0",
            "created": "2026-01-01T00:00:00+00:00",
            "plan": plan,
            "status": status,
            "headline": "The headline.",
            "binds": "size",
            "rows": (row,),
            "student": Architecture(family=Choice(name="resnet")),
            "notes": ("a note",),
            "bundles": {"tflite": "tflite"},
        }
    )


@pytest.fixture
def fake_build(monkeypatch: pytest.MonkeyPatch) -> dict[str, Any]:
    """A build that trains nothing: it writes report.json and gives the status (or raises what) it is told to."""
    told: dict[str, Any] = {"status": "fits"}

    def build(plan: Plan, store: Any, out: Path) -> Report:
        told.update(plan=plan, store=store.root, out=out)
        if "raises" in told:
            raise told["raises"]
        report = made(plan, told["status"])
        out.mkdir(parents=True)
        (out / "report.json").write_text(report.model_dump_json(), encoding="utf-8")
        return report

    monkeypatch.setattr(build_command, "run_build", build)
    return told


@pytest.mark.parametrize(("status", "exit_status"), [("fits", 0), ("missed", 3), ("inconclusive", 4)])
def test_build_exits_by_the_reports_status(fake_build: dict[str, Any], status: str, exit_status: int):
    fake_build["status"] = status
    result = run("build", "--target", "tflite", "--max-latency", "20ms")
    assert result.exit_code == exit_status
    assert "The headline." in result.stdout and "what binds: size" in result.stdout
    assert "next: edgekd verify runs/fashion-mnist-few-labels-tflite/tflite" in result.stdout
    assert "effort quick: one seed" in result.stderr and "effort" not in result.stdout


def test_build_passes_every_flag_on(fake_build: dict[str, Any], tmp_path: Path):
    flags = "--max-latency 20ms --max-params 100k --max-macs 5M --max-size 256KiB --max-memory 16MiB --max-drop 1pp"
    flags += " --min-accuracy 90% --max-quantization-loss 0.5pp --max-fallback 5% --max-error 12.5 --precision int8"
    flags += " --threads 2"
    flags += " --effort standard --max-time 10m --seed 7 --teacher-share 50% --trust --skip-bad --accept-stand-in"
    flags += " --out o --store s"
    assert run("build", "fashion-mnist", "-t", "tflite,onnx", *flags.split()).exit_code == 0
    plan: Plan = fake_build["plan"]
    assert [target.name for target in plan.targets] == ["tflite", "onnx"]
    assert plan.targets[0].budget.model_dump() == {
        "max_latency": 0.02,
        "max_params": 100_000,
        "max_macs": 5_000_000,
        "max_size": 256 * 1024,
        "max_memory": 16 * 1024**2,
        "max_drop": 0.01,
        "min_accuracy": 0.9,
        "max_quantization_loss": 0.005,
        "max_fallback": 0.05,
        "max_error": 12.5,
        "max_arena": None,
        "max_flash": None,
    }
    assert (plan.targets[1].precision, plan.targets[1].threads) == ("int8", 2)
    assert plan.effort == PRESETS["standard"]
    assert (plan.max_time, plan.seed, plan.teacher_share) == (600.0, 7, 0.5)
    assert plan.teacher.trust and plan.skip_bad and plan.accept_stand_in
    assert (fake_build["out"], fake_build["store"]) == (Path("o"), Path("s"))


def test_build_and_plan_take_the_same_arguments():
    options = [
        {parameter.name: parameter.opts for parameter in cli.get_command(module.app).params}
        for module in (build_command, plan_command)
    ]
    assert options[0] == options[1]
    assert set(Flags.model_fields) <= set(options[0])


def test_an_error_is_json_too_where_json_was_asked():
    result = run("build", "-t", "tflight", "--max-size", "nonsense", "--json")
    told = json.loads(result.stdout)["error"]
    assert result.exit_code == told["status"] == 2
    assert {problem["where"] for problem in told["problems"]} == {"--target", "--max-size"}
    assert all(
        problem["message"] in told["message"] and problem["message"] in result.stderr for problem in told["problems"]
    )
    assert run("build", "-t", "tflight").stdout == ""


def test_json_is_the_report_alone(fake_build: dict[str, Any]):
    result = run("build", "-t", "tflite", "--json", "--out", "o")
    assert result.exit_code == 0
    assert json.loads(result.stdout)["headline"] == "The headline."
    assert json.loads(result.stdout) == json.loads(Path("o/report.json").read_text(encoding="utf-8"))


def test_mistakes_are_usage_and_nothing_is_made(fake_build: dict[str, Any], tmp_path: Path):
    result = run("build", "-t", "tflight", "--max-latency", "20msec", "--max-size", "0KiB")
    assert result.exit_code == 2 and result.stdout == ""
    assert "Did you mean 'tflite'?" in result.stderr and "Did you mean 20ms?" in result.stderr
    assert "--max-size: '0KiB' must be above zero" in result.stderr
    assert "Traceback" not in result.stderr and "pydantic" not in result.stderr
    assert list(tmp_path.iterdir()) == []


def test_an_out_that_cannot_be_written_is_told_before_anything_is_spent(
    fake_build: dict[str, Any], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    (tmp_path / "file").write_text("", encoding="utf-8")
    result = run("build", "-t", "tflite", "--out", "file/run")
    assert result.exit_code == 2 and "--out: file is a file, not a folder" in result.stderr
    monkeypatch.setattr(os, "access", lambda path, mode: False)  # tests may run as root, who may write everywhere
    result = run("build", "-t", "tflite", "--out", "run")
    assert result.exit_code == 2 and "cannot be written" in result.stderr and "plan" not in fake_build


@pytest.mark.parametrize(
    ("error", "status", "words"),
    [
        (StepFailed("train", "NaN loss", "log.txt", "python -m edgekd.worker x"), 1, "run it again by hand: python -m"),
        (UsageError(Problem("data", "a class is empty")), 2, "data: a class is empty"),
        (KeyboardInterrupt(), 130, "interrupted; the same command continues where it stopped"),
    ],
)
def test_errors_are_sentences(fake_build: dict[str, Any], error: BaseException, status: int, words: str):
    fake_build["raises"] = error
    result = run("build", "-t", "tflite")
    assert result.exit_code == status and words in result.stderr and "Traceback" not in result.stderr


def test_a_bug_leaves_one_line_and_a_saved_traceback(tmp_path: Path):
    code = "import sys; from edgekd import cli; sys.excepthook = cli._unexpected; 1 / 0"
    done = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, env=os.environ | {"TMPDIR": str(tmp_path)}
    )
    assert done.returncode == 1
    (line,) = done.stderr.splitlines()
    assert "this is a bug: ZeroDivisionError" in line
    assert "1 / 0" in Path(line.rpartition(" ")[2]).read_text(encoding="utf-8") or "ZeroDivisionError" in line


def outlook(plan: Plan, splits: Splits) -> Outlook:
    return Outlook(plan=plan, splits=splits, options=(), teacher=None, facts={})


def test_plan_prints_what_is_ahead_and_exits_3_where_nothing_is_possible(monkeypatch: pytest.MonkeyPatch):
    file = {"entry": "0", "name": "y", "sha256": "0", "size": 0}
    part = PartFiles.model_validate({"inputs": {}, "labels": file, "count": 9, "labelled": 4, "digest": "0"})
    splits = Splits(parts={"train": part}, classes=("a",), caveats=("a caveat",))
    told = Forecast(steps=(), seconds=90, students=7, within=5, binds=("it binds",), possible=True)
    monkeypatch.setattr(plan_command, "ahead", lambda plan, store: (("a warning",), outlook(plan, splits), told))
    result = run("plan", "-t", "onnx")
    assert result.exit_code == 0
    for words in (
        "9 train; 4 training samples have labels",
        "5 of 7",
        "1 min 30 s",
        "it binds",
        "a caveat",
        "a warning",
    ):
        assert words in result.stdout
    nothing = told.model_copy(update={"possible": False})
    monkeypatch.setattr(plan_command, "ahead", lambda plan, store: ((), outlook(plan, splits), nothing))
    assert run("plan", "-t", "onnx").exit_code == 3
    assert json.loads(run("plan", "-t", "onnx", "--json").stdout)["forecast"]["students"] == 7


def test_default_out_names_recipe_and_targets():
    plan = load_plan("fashion-mnist", Flags(target=("tflite,onnx",)))
    assert default_out(plan) == Path("runs/fashion-mnist-tflite-onnx")


def test_report_prints_a_run_again_and_names_what_is_no_run(tmp_path: Path):
    report = made(load_plan(None, Flags(target=("tflite",))))
    (tmp_path / "report.json").write_text(report.model_dump_json(), encoding="utf-8")
    assert "The headline." in run("report", ".").stdout
    assert json.loads(run("report", "report.json", "--json").stdout)["status"] == "fits"
    assert run("report", "nowhere").exit_code == 2
    (tmp_path / "report.json").write_text("{}", encoding="utf-8")
    result = run("report", ".")
    assert result.exit_code == 2 and "is not a report of schema version 2" in result.stderr


def test_list_says_what_there_is():
    assert "raspberry-pi-5" in run("list", "targets").stdout
    assert "resnet" in run("list", "students").stdout
    assert "targets" in run("list").stdout
    rows = json.loads(run("list", "recipes", "--json").stdout)
    assert {row["name"] for row in rows} >= {"fashion-mnist"} and all(row["about"] for row in rows)
    wrong = run("list", "recipies")
    assert wrong.exit_code == 2 and "Did you mean 'recipes'?" in wrong.stderr


def test_store_gc_frees_and_refuses_bad_units(tmp_path: Path):
    entry = tmp_path / "store/entries/ab/abc"
    entry.mkdir(parents=True)
    (entry / "file").write_bytes(b"x" * 2048)
    os.utime(entry, (time.time() - 7200,) * 2)
    assert json.loads(run("store", "gc", "--keep", "1KiB", "--json").stdout)["freed_bytes"] == 2048
    wrong = run("store", "gc", "--keep", "10GIB")
    assert wrong.exit_code == 2 and "Did you mean 10GiB?" in wrong.stderr


@pytest.mark.parametrize(("allowed", "status"), [(None, 4), ("5%", 4)])
def test_compare_of_runs_without_numbers_is_inconclusive_with_a_gate(tmp_path: Path, allowed: str | None, status: int):
    report = made(load_plan(None, Flags(target=("tflite",))))
    shipped = report.model_copy(update={"rows": tuple(row.model_copy(update={"ships": True}) for row in report.rows)})
    (tmp_path / "report.json").write_text(shipped.model_dump_json(), encoding="utf-8")
    result = run("compare", ".", ".", *(["--max-regression", allowed] if allowed else []))
    assert result.exit_code == (status if allowed else 0)
    assert "not compared: not measured in both runs" in result.stdout


def test_doctor_names_python_and_every_target():
    result = run("doctor", "--json")
    found = {finding["what"]: finding["state"] for finding in json.loads(result.stdout)["findings"]}
    assert found["Python"] == "works"
    assert {f"{name}: {side}" for name in plugged.FORMATS for side in ("convert", "run")} <= set(found)
    assert result.exit_code == (1 if "broken" in found.values() else 0)


def test_verify_counts_no_check_that_it_could_not_make():
    right, unknown = Finding(what="digests", passed=True), Finding(what="model", passed=None, why="no runtime")
    wrong = Finding(what="model", passed=False)
    assert verdict((right,)) == "sound: every check passed"
    assert verdict((right, unknown)) == "nothing wrong was found, but 1 of 2 checks cannot be made on this computer"
    assert verdict((right, unknown, wrong)).startswith("NOT SOUND")
    assert [status((right,)), status((right, unknown, wrong)), status((right, unknown))] == [0, 1, 4]


def test_verify_of_no_bundle_is_usage():
    assert run("verify", ".").exit_code == 2


@pytest.mark.parametrize("file", ["nothing.onnx", "notes.txt", "broken.onnx"])
def test_bench_of_no_model_is_usage(tmp_path: Path, file: str):
    (tmp_path / "notes.txt").write_text("a", encoding="utf-8")
    (tmp_path / "broken.onnx").write_text("a", encoding="utf-8")
    result = run("bench", file)
    assert result.exit_code == 2 and file in result.stderr and "Traceback" not in result.stderr


def test_bench_times_a_bare_file(tiny: Path):
    result = run("bench", str(tiny / "image-dynamic.onnx"), "--bench", "quick", "--json")
    told = json.loads(result.stdout)
    assert told["measurement"]["basis"] == "measured" and "random" in told["inputs"]
    assert sum(map(len, told["measurement"]["latency"]["sessions"])) >= 64
    assert told["measurement"]["latency"]["protocol"] == "quick"
    assert result.exit_code == (0 if told["measurement"]["latency"]["stable"] else 4)


def test_init_writes_nothing_over_another_recipe_or_for_mistakes(tmp_path: Path):
    (tmp_path / "photos/cat").mkdir(parents=True)
    (tmp_path / "my_net.py").write_text("def build(): ...\n", encoding="utf-8")
    (tmp_path / "recipe.toml").write_text("mine", encoding="utf-8")
    arguments = ("--teacher", "my_net:build", "--data", "photos")
    assert run("init", *arguments).exit_code == 2 and Path("recipe.toml").read_text(encoding="utf-8") == "mine"
    wrong = run("init", "--teacher", "my_net", "--data", "photos", "--out", "other.toml")
    assert wrong.exit_code == 2 and "neither code nor a model file" in wrong.stderr
    missing = run("init", *arguments, "--weights", "no.pt", "--out", "x.toml")
    assert missing.exit_code == 2 and "no.pt" in missing.stderr and not Path("x.toml").exists()
    half = run("init", *arguments, "--mean", "0.5", "--out", "x.toml")
    assert half.exit_code == 2 and "--std: is missing" in half.stderr
    words = run("init", *arguments, "--mean", "0.5,a", "--std", "1", "--out", "x.toml")
    assert words.exit_code == 2 and "--mean: '0.5,a' is not 1 or 3 numbers" in words.stderr


def test_unknown_commands_get_the_nearest():
    result = run("biuld")
    assert result.exit_code == 2 and "build" in result.stderr


def test_every_command_has_a_module_and_the_same_line():
    for name in cli.COMMANDS:
        result = run(name, "--help")
        assert result.exit_code == 0
        first = " ".join(result.stdout.replace("│", " ").split())
        assert " ".join(cli.COMMANDS[name].split())[:40] in first


@pytest.mark.parametrize("arguments", [["--help"], ["list"], ["list", "targets"], ["--version"]])
def test_help_and_list_import_nothing_heavy(arguments: list[str]):
    code = (
        "import sys\nfrom edgekd import cli\n"
        f"sys.argv = ['edgekd', *{arguments!r}]\n"
        "try:\n    cli.main()\nexcept SystemExit as end:\n    assert not end.code, end.code\n"
        "print('\\n'.join(sys.modules), file=sys.stderr)"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    loaded = {name.partition(".")[0] for name in done.stderr.split()}
    assert not loaded & set(HEAVY)
    if arguments[0].startswith("--"):
        assert "numpy" not in loaded and "pydantic" not in loaded


def test_the_main_process_never_imports_torch():
    code = "import sys, importlib\nfrom edgekd import cli\n"
    code += "for name in cli.COMMANDS: importlib.import_module(f'edgekd.cli.{name}')\n"
    code += "print([name for name in ('torch', 'onnxruntime', 'litert_torch', 'tensorflow') if name in sys.modules])"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"


def test_python_m_edgekd_is_the_command():
    done = subprocess.run([sys.executable, "-m", "edgekd", "--version"], capture_output=True, text=True, check=True)
    assert done.stdout.startswith("edgekd ")
