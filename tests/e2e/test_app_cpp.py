"""The application bundle for C++, compiled and run: what it answers, what its self-test catches, and its pixels.

Needs cmake, a compiler, libpng, libjpeg, and ONNX Runtime's headers and library: make cpp.
"""

import json
import shutil
import subprocess
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest
from onnx import numpy_helper
from PIL import Image

from edgekd.bundle import apps
from edgekd.bundle.verify import verify
from edgekd.commands.selftest import SelfTest
from edgekd.results import Column, Head, Signature, TensorSpec
from edgekd.runtimes import preprocess
from tests import cpp, small
from tests.test_apps_python import COLOUR, CONFIDENCE, bundled, coloured
from tests.test_docs import ROOT, blocks

ABSENT = cpp.absent()
pytestmark = [pytest.mark.slow, pytest.mark.skipif(bool(ABSENT), reason=ABSENT or "-")]

STRICT = "-Wall -Wextra -Wshadow -Wpedantic -Werror"
MODELS = ("gray", "colour")
RNG = np.random.default_rng(11)
HIDDEN = 384


def network(path: Path, signature: Signature, outputs: int, inputs: tuple[str, ...] = ("image",)) -> Path:
    """Two layers over everything that comes in, so that a run takes some time."""
    rng = np.random.default_rng(5)
    sizes = [int(np.prod(spec.shape[1:])) for spec in signature.inputs]
    first = rng.normal(0, 1 / np.sqrt(sum(sizes)), (sum(sizes), HIDDEN)).astype(np.float32)
    last = rng.normal(0, 0.3, (HIDDEN, outputs)).astype(np.float32)
    nodes = [onnx.helper.make_node("Flatten", [name], [f"{name}_flat"]) for name in inputs]
    nodes += [
        onnx.helper.make_node("Concat", [f"{name}_flat" for name in inputs], ["flat"], axis=1),
        onnx.helper.make_node("MatMul", ["flat", "first"], ["hidden"]),
        onnx.helper.make_node("Relu", ["hidden"], ["active"]),
        onnx.helper.make_node("MatMul", ["active", "last"], [signature.outputs[0].name]),
    ]
    weights = [numpy_helper.from_array(first, "first"), numpy_helper.from_array(last, "last")]
    small._write(path, nodes, signature, weights)
    return path


class App:
    """An application's folder with the folder where it is built."""

    def __init__(self, folder: Path, build: Path) -> None:
        self.folder, self.build = folder, build

    def configure(self, root: Path, *more: str) -> "App":
        options = (f"-DONNXRUNTIME_ROOT={root}", f"-DCMAKE_CXX_FLAGS={STRICT}", *more)
        done(["cmake", "-S", str(self.folder), "-B", str(self.build), *options])
        return self

    def make(self) -> "App":
        done(["cmake", "--build", str(self.build), "-j", "2"])
        return self

    def program(self, *arguments: str) -> subprocess.CompletedProcess[str]:
        home = self.build / "home"
        home.mkdir(exist_ok=True)
        command = [str(self.build / "edge_model"), *arguments]
        found = subprocess.run(
            command, cwd=self.build, env={"HOME": str(home)}, capture_output=True, text=True, timeout=300, check=False
        )
        assert not list(home.iterdir()), "ONNX Runtime's telemetry keeps a file in the user's home"
        return found

    def self_test(self, *arguments: str) -> dict[str, Any]:
        said = self.program("--self-test", *arguments)
        found: dict[str, Any] = json.loads((self.build / "selftest.json").read_text())
        assert said.returncode == (0 if found["passed"] else 1), said.stdout + said.stderr
        SelfTest.model_validate_json(json.dumps(found))
        return found

    def linked(self, source: str, folder: Path, root: Path) -> Path:
        """A program of its own on the library's inner functions."""
        folder.mkdir(parents=True, exist_ok=True)
        (folder / "own.cpp").write_text(source)
        includes = [f"-I{self.folder / name}" for name in ("src", "include")]
        libraries = ["-lpng", "-ljpeg", "-pthread", f"-L{root}/lib", "-lonnxruntime", f"-Wl,-rpath,{root}/lib"]
        archive = str(self.build / "libedge_model.a")
        done(
            [
                "c++",
                "-std=c++17",
                "-O1",
                *includes,
                str(folder / "own.cpp"),
                archive,
                *libraries,
                "-o",
                str(folder / "own"),
            ]
        )
        return folder / "own"


def done(command: list[str]) -> str:
    found = subprocess.run(command, capture_output=True, text=True, timeout=600, check=False)
    assert found.returncode == 0, found.stdout[-3000:] + found.stderr[-3000:]
    return found.stdout


def failed(found: dict[str, Any]) -> list[str]:
    return [one["what"] for one in found["checks"] if one["passed"] is False]


@pytest.fixture(scope="module")
def root(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return cpp.root(tmp_path_factory.mktemp("runtime") / "onnxruntime")


@pytest.fixture(scope="module")
def written(tmp_path_factory: pytest.TempPathFactory) -> dict[str, App]:
    """Applications of a gray and a colour network."""
    found = {}
    for name, signature, samples in (("gray", small.IMAGES, small.image_samples()), ("colour", COLOUR, coloured())):
        home = tmp_path_factory.mktemp(name)
        bundle = bundled(home, network(home / "n.onnx", signature, 3), signature, ("onnx", "float32"), samples)
        found[name] = App(apps.write(bundle, "cpp", home / "app").folder, home / "build")
    return found


@pytest.fixture(scope="module")
def built(written: dict[str, App], root: Path) -> dict[str, App]:
    """The same, compiled."""
    return {name: app.configure(root).make() for name, app in written.items()}


@pytest.mark.parametrize("name", MODELS)
def test_it_compiles_without_a_warning_and_passes_its_golden_test(built: dict[str, App], name: str) -> None:
    app = built[name]
    assert "100% tests passed, 0 tests failed out of 1" in done(["ctest", "--test-dir", str(app.build)])
    found = app.self_test("--accelerator", "auto")
    model = json.loads((app.folder / "model/model.json").read_text())
    pictures = ("odd-size.png", "turned.jpg", "alpha.png")
    names = [f"{what} {file}" for what in ("decode", "prepare") for file in pictures]
    assert [one["what"] for one in found["checks"]] == ["files", *names, "model logits", "answers", "pictures"]
    assert {one["passed"] for one in found["checks"]} == {True}
    assert not [one for one in verify(app.folder) if one.passed is False], "a build leaves the folder as it was"
    assert found["app"] == "cpp" and found["device"]["cores"] and not found["device"]["emulated"]
    assert found["model"] == {"name": model["file"]["name"], "sha256": model["file"]["sha256"], "slug": model["slug"]}
    assert found["difference"] <= found["tolerance"] == model["tolerance"]
    assert len(found["latency"]["seconds"]) == 50 and found["accelerator"]["used"] == "cpu"


@pytest.mark.parametrize("name", MODELS)
def test_files_get_the_recorded_answers(built: dict[str, App], name: str) -> None:
    app = built[name]
    golden = json.loads((app.folder / "model/golden/golden.json").read_text())
    files = [str(app.folder / "model/golden" / one["file"]) for one in golden["pictures"]]
    (app.build / "no.png").write_bytes(b"\x89PNG\r\n\x1a\nno picture at all")
    (app.build / "cut.jpg").write_bytes((app.folder / "model/golden/turned.jpg").read_bytes()[:900])
    said = app.program(*files, "no.png", "cut.jpg", "none.png")
    assert said.returncode == 1 and len(said.stderr.splitlines()) == 3, said.stderr
    assert all(f"{name}: " in said.stderr for name in ("no.png", "cut.jpg", "none.png"))
    for line, file, one in zip(said.stdout.splitlines(), files, golden["pictures"], strict=True):
        share = f"{100 * one['answer']['probabilities'][0]:.0f}"
        assert line.startswith(f"{file}: ") and one["answer"]["labels"][0] in line
        assert not one["exact"] or abs(float(line.split(" %")[0].split()[-1]) - float(share)) <= 1
        sure = one["answer"]["probabilities"][0] >= (CONFIDENCE.threshold or 0)
        assert ("not sure" not in line) == sure
    assert app.program("--nonsense").returncode == 2 and app.program().returncode == 2


# The mistake, for which model, the file and the text in it, what to write instead, how the first failed check begins.
PIXELS, ANSWERS, ENGINE = "src/preprocess.cpp", "src/answers.cpp", "src/onnx.cpp"
VALUE, PLACE = "(level - mean) / deviation", 'how.layout == "NCHW" ? channel * pixels + pixel'
WIDTH, HEIGHT = "static_cast<std::size_t>(image.width)", "static_cast<std::size_t>(image.height)"
ACROSS = "weighed(&image.data[y * row + one.start * depth + channel], depth, one.own)"
EXP = "std::exp((share - largest) / temperature)"
AGAIN = "double all = 0; for (double& s : shares) all += s = std::exp(s); for (double& s : shares) s /= all; "
LEVEL = "static_cast<float>(image.data[pixel * depth + channel]) / 255.0f"
STALE = "static std::vector<Array> before; std::swap(before, told); return told.empty() ? before : told;"
FAULTS = (
    ("bgr", "colour", PIXELS, "bgr ? 2 - channel : channel", "bgr ? channel : 2 - channel", "decode odd-size.png"),
    ("bgr-canvas", "colour", PIXELS, 'coloured(stored, how.channels == "bgr")', "coloured(stored, false)", "prepare"),
    ("bgr", "gray", PIXELS, "19595 * from[0] + 38470 * from[1] + 7471 *", "7471 * from[0] + 38470 * from[1] + 19595 *",
     "decode odd-size.png"),
    ("mean", "both", PIXELS, VALUE, "(level - 0.5f) / deviation + 0 * mean", "prepare"),
    ("layout", "colour", PIXELS, PLACE, PLACE.replace("==", "!="), "prepare"),
    ("layout", "gray", PIXELS, PLACE, f"depth == 1 ? pixel % {WIDTH} * {HEIGHT} + pixel / {WIDTH}", "prepare"),
    ("filter", "both", PIXELS, "how.canvas, how.filter).data", 'how.canvas, "lanczos").data', "decode odd-size.png"),
    ("filter-nearest", "both", PIXELS, ACROSS, "image.data[y * row + one.start * depth + channel]", "decode odd"),
    ("crop", "both", PIXELS, "return old == side ? canvas", "return old > 0 ? canvas", "decode odd-size.png"),
    ("exif", "both", "src/decode.cpp", "turned(decoding.image, decoding.orientation)", "decoding.image",
     "decode turned.jpg"),
    ("alpha", "both", PIXELS, "alpha == 255 ? value : on_white(value, alpha)",
     "alpha < 0 ? on_white(value, alpha) : value", "decode alpha.png"),
    ("label", "both", ANSWERS, "head.classes[index], static_cast<int>",
     "head.classes[(index + 1) % head.classes.size()], static_cast<int>", "answers"),
    ("dtype", "both", PIXELS, LEVEL, f"{LEVEL} * 255", "prepare"),
    ("dtype-whole", "both", PIXELS, LEVEL, f"std::floor({LEVEL})", "prepare"),
    ("softmax-none", "both", ANSWERS, EXP, "(share + 0 * largest) / temperature", "answers"),
    ("softmax-two", "both", ANSWERS, "return shares;", f"{AGAIN}return shares;", "answers"),
    ("temperature", "both", ANSWERS, EXP, "std::exp((share - largest) + 0 * temperature)", "answers"),
    ("delegate", "both", ENGINE, "return told;", STALE, "model logits"),
)  # fmt: skip
CASES = [(name, fault) for fault in FAULTS for name in MODELS if fault[1] in (name, "both")]


@pytest.fixture(scope="module")
def changed(built: dict[str, App], root: Path, tmp_path_factory: pytest.TempPathFactory) -> dict[str, App]:
    """Copies of the applications whose sources are changed and put back; compiled without optimization."""
    found = {}
    for name, app in built.items():
        home = tmp_path_factory.mktemp(f"changed-{name}")
        shutil.copytree(app.folder, home / "app")
        options = ("-DCMAKE_BUILD_TYPE=Debug", "-DCMAKE_CXX_FLAGS=-O0 -g0")
        found[name] = App(home / "app", home / "build").configure(root, *options).make()
        assert found[name].self_test()["passed"]
    return found


@pytest.mark.parametrize(("name", "fault"), CASES, ids=[f"{fault[0]}-{name}" for name, fault in CASES])
def test_the_self_test_sees_mistakes_in_the_code(changed: dict[str, App], name: str, fault: tuple[str, ...]) -> None:
    _, _, file, old, new, check = fault
    app, path = changed[name], changed[name].folder / file
    text = path.read_text()
    assert text.count(old) == 1, f"{old!r} is {text.count(old)} times in {file}"
    path.write_text(text.replace(old, new))
    try:
        found = app.make().self_test()
    finally:
        path.write_text(text)
    assert failed(found) and failed(found)[0].startswith(check), found["checks"]
    assert not found["passed"] and found["latency"] is None


@pytest.mark.parametrize("name", MODELS)
def test_the_self_test_sees_another_file(built: dict[str, App], name: str, tmp_path: Path) -> None:
    app = built[name]
    folder = Path(shutil.copytree(app.folder / "model", tmp_path / "model"))
    file = folder / json.loads((folder / "model.json").read_text())["file"]["name"]
    whole = file.read_bytes()
    file.write_bytes(whole[: len(whole) // 2])
    assert failed(app.self_test("--model", str(folder))) == ["files", "model logits", "answers", "pictures"]
    model = onnx.load_from_string(whole)
    weights = model.graph.initializer[0]
    weights.CopyFrom(numpy_helper.from_array(numpy_helper.to_array(weights)[::-1].copy(), weights.name))
    onnx.save(model, file)
    found = app.self_test("--model", str(folder))
    assert failed(found)[:2] == ["files", "model logits"]
    said = app.program("--model", str(folder), str(folder / "golden/odd-size.png"))
    assert said.returncode == 1 and "does not give what was recorded with it" in said.stderr
    file.unlink()
    assert failed(app.self_test("--model", str(folder)))[0] == "files"


LIARS = r"""
#include <chrono>
#include <cmath>
#include <cstring>
#include <iostream>
#include <thread>
#include "engine.hpp"
using namespace edge_model;
struct Fake : Engine {
    std::unique_ptr<Engine> cpu;
    std::string how;
    std::vector<Array> before;
    std::vector<std::pair<std::vector<Array>, std::vector<Array>>> kept;
    Fake(std::unique_ptr<Engine> made, std::string name) : cpu(std::move(made)), how(name) {}
    std::vector<Array> run(const std::vector<Array>& inputs) override {
        if (how == "honest") {
            for (auto& [asked, told] : kept) if (asked[0].bytes == inputs[0].bytes) return told;
        }
        auto found = cpu->run(inputs);
        if (how == "honest") kept.push_back({inputs, found});
        auto all = [&](float value) {
            for (std::size_t i = 0; i < found[0].bytes.size(); i += 4) std::memcpy(&found[0].bytes[i], &value, 4);
        };
        if (how == "huge") all(1e28f);
        if (how == "nan") all(std::nanf(""));
        if (how == "short") found[0].bytes.resize(4);
        if (how == "none") found.clear();
        if (how == "slow") std::this_thread::sleep_for(std::chrono::milliseconds(5));
        if (how == "throws") throw std::runtime_error("the driver\nis gone");
        if (how == "throws-int") throw 5;
        if (how == "stale") { std::swap(before, found); if (found.empty()) found = before; }
        return found;
    }
};
int main(int count, char** names) {
    Options options;
    options.folder = names[1];
    for (int i = 2; i < count; i++) {
        std::string name = names[i];
        options.accelerators.push_back({name, [name](const std::string& file, int threads) -> std::unique_ptr<Engine> {
            if (name == "closed") throw std::runtime_error("no such device");
            if (name == "nothing") return nullptr;
            return std::make_unique<Fake>(open_cpu(file, threads), name);
        }});
    }
    std::cout << self_test(options).json;
}
"""


@pytest.mark.parametrize("name", MODELS)
def test_lying_accelerators_are_not_kept(built: dict[str, App], name: str, root: Path, tmp_path: Path) -> None:
    app = built[name]
    program = app.linked(LIARS, tmp_path, root)
    liars = ("huge", "nan", "short", "none", "stale", "slow", "throws", "throws-int", "closed", "nothing")
    said = json.loads(done([str(program), str(app.folder / "model"), *liars]))
    assert said["passed"] and said["accelerator"]["used"] == "cpu"
    told = {one["name"]: one for one in said["accelerator"]["tried"]}
    assert tuple(told) == liars and not any(one["kept"] for one in told.values())
    words = {"huge": "differ by 1e+28", "nan": "no finite numbers", "stale": "differ by",
             "throws": "the driver is gone",
             "slow": "the CPU", "closed": "no such device", "nothing": "no engine"}  # fmt: skip
    for one, words_of in words.items():
        assert words_of in told[one]["why"], told[one]
    said = json.loads(done([str(program), str(app.folder / "model"), "huge", "honest", "slow"]))
    assert said["passed"] and said["accelerator"]["used"] == "honest"
    assert [one["kept"] for one in said["accelerator"]["tried"]] == [False, True]


PIXEL = r"""
#include <cstdio>
#include <cstdlib>
#include <fstream>
#include <iterator>
#include "decode.hpp"
int main(int, char** given) {
    using namespace edge_model;
    std::ifstream file(given[1], std::ios::binary);
    std::vector<std::uint8_t> bytes{std::istreambuf_iterator<char>(file), {}};
    Preprocess how = {std::atoi(given[2]), std::atoi(given[3]), given[4], given[5], given[6],
                      {0.4f, 0.5f, 0.6f}, {0.2f, 0.3f, 0.25f}};
    if (how.channels == "gray") how.mean = {0.3f}, how.std = {0.35f};
    auto canvas = to_canvas(decode(bytes), how);
    auto input = prepare(canvas, how);
    std::fwrite(canvas.data(), 1, canvas.size(), stdout);
    std::fwrite(input.data(), 4, input.size(), stdout);
}
"""


def test_pixels_are_those_of_pillow_to_the_byte(built: dict[str, App], root: Path, tmp_path: Path) -> None:
    program = built["colour"].linked(PIXEL, tmp_path / "own", root)
    count = 0
    for number, (width, height) in enumerate(((64, 48), (31, 77), (12, 12), (300, 31), (7, 5), (33, 201))):
        for mode in ("RGB", "RGBA", "L", "LA", "P", "1"):
            noise = RNG.integers(0, 256, (height, width, 4)).astype(np.uint8)
            path = tmp_path / f"{number}{mode}.png"
            exif = Image.Exif()
            exif[0x0112] = 1 + (number + count) % 8
            Image.fromarray(noise).convert(mode).save(path, exif=exif)
            for filter in ("box", "bilinear", "bicubic", "lanczos"):
                canvas, size = (24, 17) if count % 2 else (40, 40)
                channels, layout = ("gray", "bgr", "rgb")[count % 3], ("NCHW", "NHWC")[count // 3 % 2]
                plain = (0.3,) if channels == "gray" else (0.4, 0.5, 0.6)
                spread = (0.35,) if channels == "gray" else (0.2, 0.3, 0.25)
                how = {"canvas": canvas, "size": size, "channels": channels, "filter": filter, "layout": layout,
                       "mean": plain, "std": spread}  # fmt: skip
                command = [str(program), str(path), str(canvas), str(size), channels, filter, layout]
                found = subprocess.run(command, capture_output=True, timeout=60, check=True).stdout
                kind = "gray" if channels == "gray" else "rgb"
                wanted = preprocess.decode(path, canvas, kind, filter)
                where = (path.name, filter, channels)
                assert found[: wanted.size] == wanted.tobytes(), where
                inputs = np.frombuffer(found[wanted.size :], np.float32)
                np.testing.assert_array_equal(inputs, preprocess.prepare(wanted[None], how).reshape(-1), str(where))
                count += 1
    assert count == 144


FRAMES = r"""
#include <cstdio>
#include "decode.hpp"
#include "engine.hpp"
int main(int, char** given) {
    using namespace edge_model;
    Options options;
    options.folder = given[1];
    Classifier model(options);
    const Image picture = decode(file_bytes(given[2]));
    const Result file = model.classify(given[2]);
    const Result frame = model.classify(Frame{picture.data.data(), picture.height, picture.width, picture.depth});
    int refused = 0;
    const auto* at = picture.data.data();
    for (const Frame& bad : {Frame{nullptr, 4, 4, 3}, Frame{at, 0, 4, 3}, Frame{at, 4, 4, 2}})
        try { model.classify(bad); } catch (const ModelError&) { refused++; }
    try { model.infer({Array::of(std::vector<float>(5))}); } catch (const ModelError&) { refused++; }
    try { model.infer({}); } catch (const ModelError&) { refused++; }
    std::printf("%d %d %d\n", file.outputs == frame.outputs, file.answer().label == frame.answer().label, refused);
}
"""


@pytest.mark.parametrize("name", MODELS)
def test_frames_go_through_the_same_code_as_files(built: dict[str, App], name: str, root: Path, tmp_path: Path) -> None:
    app = built[name]
    program = app.linked(FRAMES, tmp_path, root)
    assert done([str(program), str(app.folder / "model"), str(app.folder / "model/golden/alpha.png")]) == "1 1 5\n"


def test_without_libpng_and_libjpeg_it_says_what_it_did_not_look_at(
    built: dict[str, App], root: Path, tmp_path: Path
) -> None:
    app = App(built["gray"].folder, tmp_path).configure(root, "-DEDGE_MODEL_PICTURES=OFF").make()
    found = app.self_test()
    unseen = [one["what"] for one in found["checks"] if one["passed"] is None]
    assert found["passed"]
    assert unseen == ["decode odd-size.png", "decode turned.jpg", "decode alpha.png", "pictures"]
    assert "libpng" not in done(["ldd", str(app.build / "edge_model")])


def test_heads_and_numbers_are_told_by_name(root: Path, tmp_path: Path) -> None:
    heads = (
        Head(name="third", start=0, classes=small.CLASSES),
        Head(name='si"de?', start=3, classes=("löft", "right")),
    )
    wide = (TensorSpec(name="logits", shape=(-1, 5)),)
    sure = (CONFIDENCE.model_copy(update={"head": "third"}), CONFIDENCE.model_copy(update={"head": 'si"de?'}))
    classes = (*small.CLASSES, "löft", "right")
    two = tuple(TensorSpec(name=name, shape=(-1, size)) for name, size in (("pulse", 6), ("age", 1)))
    columns = (Column(name="pressure", unit="mmHg", mean=120, deviation=9), Column(name="risk", mean=0, deviation=1))
    several = small.IMAGES.model_copy(update={"outputs": wide, "heads": heads, "classes": classes})
    numbers = Signature(inputs=two, outputs=(TensorSpec(name="told", shape=(-1, 2)),), columns=columns)
    plain = {name: RNG.normal(size=(6, size)).astype(np.float32) for name, size in (("pulse", 6), ("age", 1))}
    cases = (
        ("heads", several, small.image_samples(), sure, 5, ("image",)),
        ("numbers", numbers, plain, (), 2, ("pulse", "age")),
    )
    for name, signature, samples, confidence, outputs, inputs in cases:
        home = tmp_path / name
        home.mkdir()
        file = network(home / "n.onnx", signature, outputs, inputs)
        bundle = bundled(home, file, signature, ("onnx", "float32"), samples, confidence)
        app = App(apps.write(bundle, "cpp", home / "app").folder, home / "build").configure(root).make()
        found = app.self_test()
        assert found["passed"], found["checks"]
        if name == "heads":
            assert {one["passed"] for one in found["checks"]} == {True}
            said = app.program(str(app.folder / "model/golden/odd-size.png")).stdout
            assert "third " in said and 'si"de? ' in said and ("löft" in said or "right" in said)
        else:
            looked = {one["what"]: one["passed"] for one in found["checks"]}
            assert looked == {"files": True, "model told": True, "answers": None}


def test_it_drops_into_a_project(built: dict[str, App], root: Path, tmp_path: Path) -> None:
    """The README's own code, in a project that has the folder as a part."""
    app = built["colour"]
    readme = (app.folder / "README.md").read_text()
    code = readme.split("```cpp\n")[1].split("```")[0].replace("photo.jpg", str(app.folder / "model/golden/turned.jpg"))
    head, body = code.split("\n\n", 1)
    (tmp_path / "app.cpp").write_text(f"#include <iostream>\n{head}\nint main() {{\n{body}}}\n")
    slug = json.loads((app.folder / "model/model.json").read_text())["slug"]
    shutil.copytree(app.folder, tmp_path / slug)
    (line,) = [one for one in readme.splitlines() if "add_subdirectory" in one]
    said = [part for part in line.split("`") if "(" in part]
    top = "cmake_minimum_required(VERSION 3.16)\nproject(user CXX)\nadd_executable(app app.cpp)\n"
    (tmp_path / "CMakeLists.txt").write_text(top + "\n".join(said) + "\n")
    done(["cmake", "-S", str(tmp_path), "-B", str(tmp_path / "build"), f"-DONNXRUNTIME_ROOT={root}"])
    done(["cmake", "--build", str(tmp_path / "build"), "-j", "2"])
    assert any(name in done([str(tmp_path / "build/app")]) for name in (*small.CLASSES, "I do not know"))
    assert not (tmp_path / "build" / slug / "edge_model").exists(), "its program is not built inside other projects"


def test_the_commands_and_the_code_of_the_page_run(written: dict[str, App], root: Path, tmp_path: Path) -> None:
    shutil.copytree(written["colour"].folder, tmp_path / "onnx-for-cpp")
    page = [(kind, text) for kind, _, _, text in blocks(ROOT / "docs/cpp.md")]
    (commands,) = [text for kind, text in page if kind == "sh" and "ctest" in text]
    ran = commands.replace("/opt/onnxruntime", str(root))
    done(["sh", "-e", "-c", f"cd {tmp_path}\n{ran}"])
    assert SelfTest.model_validate_json((tmp_path / "onnx-for-cpp/selftest.json").read_bytes()).passed
    (code,) = [text for kind, text in page if kind == "cpp"]
    (lines,) = [text for kind, text in page if kind == "cmake"]
    (tmp_path / "app.cpp").write_text(code)
    top = "cmake_minimum_required(VERSION 3.16)\nproject(user CXX)\nadd_executable(app app.cpp)\n"
    (tmp_path / "CMakeLists.txt").write_text(top + lines)
    build = tmp_path / "build"
    done(["cmake", "-S", str(tmp_path), "-B", str(build), f"-DONNXRUNTIME_ROOT={root}"])
    done(["cmake", "--build", str(build), "-j", "2"])
    said = done(["sh", "-e", "-c", f"cd {tmp_path}; build/app"])
    assert any(name in said for name in (*small.CLASSES, "I do not know"))
