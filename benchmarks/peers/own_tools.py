"""One session of a runtime's own benchmark tool: python own_tools.py TOOL MODEL RUNS SHAPE, SHAPE as 1,28,28,1.

The last line of output is the median of its runs in seconds as JSON. The tools print it rounded to 10 microseconds, so
it is taken where they compute it. ONNX Runtime's wheel has no tool: a plain loop around a bound session stands for it.
"""

import json
import statistics
import sys
import time
from collections.abc import Callable
from types import SimpleNamespace
from typing import Any

import numpy as np

WARM_UP = 64


def tflite(model: str, runs: int, shape: list[int]) -> float:
    """litert-benchmark, with one thread."""
    from ai_edge_litert.tools import benchmark_litert_model as tool  # noqa: PLC0415

    taken: list[float] = []

    def median(times: list[float]) -> float:
        taken.append(statistics.median(times))
        return taken[-1]

    tool.statistics = SimpleNamespace(mean=statistics.mean, stdev=statistics.stdev, median=median)
    sys.argv = ["litert-benchmark", f"--model={model}", f"--num_runs={runs}", f"--warmup_runs={WARM_UP}"]
    sys.argv.append("--num_threads=1")
    tool.main()
    return taken[0] * 1e-3


def interpreter(model: str, runs: int, shape: list[int]) -> float:
    """A bare loop around LiteRT's Interpreter, the door that edgekd takes."""
    from ai_edge_litert.interpreter import Interpreter  # noqa: PLC0415

    loaded = Interpreter(model_path=model, num_threads=1)
    (details,) = loaded.get_input_details()
    loaded.resize_tensor_input(details["index"], shape)
    loaded.allocate_tensors()
    loaded.set_tensor(details["index"], np.random.default_rng(0).standard_normal(shape).astype(np.float32))
    return _loop(loaded.invoke, runs)


def openvino(model: str, runs: int, shape: list[int]) -> float:
    """benchmark_app, with the same properties as edgekd's runtime."""
    from openvino.tools.benchmark import benchmark, main  # noqa: PLC0415

    honest, taken = benchmark.Benchmark.main_loop, list[float]()

    def main_loop(self: Any, *arguments: Any) -> Any:
        found = honest(self, *arguments)
        taken.append(found[1])
        return found

    benchmark.Benchmark.main_loop = main_loop
    sides = ",".join(map(str, shape))
    sys.argv = ["benchmark_app", "-m", model, "-d", "CPU", "-hint", "none", "-api", "sync", "-niter", str(runs)]
    sys.argv += ["-nthreads", "1", "-nstreams", "1", "-infer_precision", "f32", "-pin", "NO", "-shape", f"[{sides}]"]
    main.main()
    return taken[0] * 1e-3


def onnx(model: str, runs: int, shape: list[int]) -> float:
    """The loop that ONNX Runtime's documentation shows, around a session with bound inputs and outputs."""
    import onnxruntime  # noqa: PLC0415

    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = options.inter_op_num_threads = 1
    session = onnxruntime.InferenceSession(model, options, providers=["CPUExecutionProvider"])
    values = np.random.default_rng(0).standard_normal(shape).astype(np.float32)
    binding = session.io_binding()
    binding.bind_cpu_input(session.get_inputs()[0].name, values)
    binding.bind_output(session.get_outputs()[0].name)
    return _loop(lambda: session.run_with_iobinding(binding), runs)


def _loop(run: Callable[[], object], runs: int) -> float:
    """The median of a plain loop after a warm-up."""
    times = []
    for _ in range(WARM_UP + runs):
        started = time.perf_counter()
        run()
        times.append(time.perf_counter() - started)
    return statistics.median(times[WARM_UP:])


def main() -> None:
    name, model, runs, shape = sys.argv[1:]
    tools = {"tflite": tflite, "interpreter": interpreter, "openvino": openvino, "onnx": onnx}
    found = tools[name](model, int(runs), [int(n) for n in shape.split(",")])
    print(json.dumps({"median": found}))


if __name__ == "__main__":
    main()
