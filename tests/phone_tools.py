"""Stand-ins for benchmark_model and onnxruntime_perf_test: the same flags and words, around the real runtimes.

As programs they take most of a second to start, so `serve` keeps a process that has imported all and forks for each
call of `CLIENT`. They print what the tools' public sources print (tflite/tools/benchmark/benchmark_model.cc and XLA's
stats_calculator.h; onnxruntime/test/perftest), since no package has the tools themselves. Run as a program:
phone_tools.py TOOL ARGUMENTS...
"""

import contextlib
import io
import json
import os
import signal
import socket
import sys
import time
import traceback
from pathlib import Path

import numpy as np


def benchmark_model(arguments: list[str]) -> int:
    """LiteRT's interpreter, with the flags that edgekd gives."""
    from ai_edge_litert.interpreter import Interpreter  # noqa: PLC0415 - a phone has one of the two

    given = dict(one.removeprefix("--").split("=", 1) for one in arguments)
    started = time.perf_counter()
    interpreter = Interpreter(model_path=given["graph"], num_threads=int(given["num_threads"]))
    names, shapes = given["input_layer"].split(","), given["input_layer_shape"].split(":")
    files = dict(pair.split(":") for pair in given["input_layer_value_files"].split(","))
    inputs = interpreter.get_input_details()
    assert len(names) == len(shapes) == len(inputs), "every input has to be named"
    for i, details in enumerate(inputs):
        interpreter.resize_tensor_input(details["index"], [int(size) for size in shapes[i].split(",")])
    interpreter.allocate_tensors()
    for name, details in zip(names, interpreter.get_input_details(), strict=True):
        data = np.frombuffer(Path(files[name]).read_bytes(), details["dtype"])
        assert data.nbytes == Path(files[name]).stat().st_size and data.size == np.prod(details["shape"])
        interpreter.set_tensor(details["index"], data.reshape(details["shape"]))
    init = (time.perf_counter() - started) * 1e6
    say("STARTING!")
    say(f"Num threads: [{given['num_threads']}]")
    most = float(given.get("max_secs", 150))
    warm = phase(interpreter, int(given.get("warmup_runs", 1)), float(given.get("warmup_min_secs", 0.5)), most)
    runs = phase(interpreter, int(given.get("num_runs", 50)), float(given.get("min_secs", 1)), most)
    first, mean = (warm[0], sum(warm) / len(warm)) if warm else (0, 0)
    average = sum(runs) / len(runs)
    say(
        f"Inference timings in us: Init: {init:.0f}, First inference: {first}, "
        f"Warmup (avg): {mean:g}, Inference (avg): {average:g}"
    )
    say("Memory footprint delta from the start of the tool (MB): init=1.25 overall=2.5")
    if given.get("output_filepath"):
        arrays = [interpreter.get_tensor(details["index"]) for details in interpreter.get_output_details()]
        Path(given["output_filepath"]).write_bytes(b"".join(array.tobytes() for array in arrays))
    return 0


def phase(interpreter: object, least: int, seconds: float, most: float) -> list[int]:
    """Microseconds of a number of runs, printed as the tool prints them."""
    say(
        f"Running benchmark for at least {least} iterations and at least {seconds:g} seconds but terminate if exceeding"
    )
    started, found = time.perf_counter(), []
    while (len(found) < least or time.perf_counter() - started < seconds) and time.perf_counter() - started <= most:
        before = time.perf_counter()
        interpreter.invoke()  # type: ignore[attr-defined]
        found.append(max(1, round((time.perf_counter() - before) * 1e6)))
    if not found:
        say("count=0 p5=-9223372036854775808 median=-9223372036854775808 p95=-9223372036854775808")
        return found
    ordered = sorted(found)
    told = {f"{'median' if q == 50 else f'p{q}'}": ordered[len(ordered) * q // 100] for q in (5, 50, 95)}
    say(
        f"count={len(found)} first={found[0]} curr={found[-1]} min={ordered[0]} max={ordered[-1]} "
        f"avg={np.mean(found):g} std={np.std(found):.0f} " + " ".join(f"{k}={v}" for k, v in told.items())
    )
    return found


def onnxruntime_perf_test(arguments: list[str]) -> int:
    """ONNX Runtime's session, with the options that edgekd gives."""
    import onnx  # noqa: PLC0415
    import onnxruntime  # noqa: PLC0415
    from onnx import numpy_helper  # noqa: PLC0415

    options, (model, rows) = dict(zip(arguments[:-2:2], arguments[1:-2:2], strict=True)), arguments[-2:]
    assert options["-m"] == "duration" and options["-e"] == "cpu"
    fed = {}
    for path in sorted((Path(model).parent / "test_data_set_0").glob("input_*.pb")):
        tensor = onnx.TensorProto.FromString(path.read_bytes())
        fed[tensor.name] = numpy_helper.to_array(tensor)
    started = time.perf_counter()
    chosen = onnxruntime.SessionOptions()
    chosen.intra_op_num_threads = int(options["-x"])
    session = onnxruntime.InferenceSession(model, chosen, providers=["CPUExecutionProvider"])
    say(f"Session creation time cost: {time.perf_counter() - started:g} s")
    started = time.perf_counter()
    session.run(None, fed)
    say(f"First inference time cost: {(time.perf_counter() - started) * 1e3:g} ms")
    started, times = time.perf_counter(), []
    while time.perf_counter() - started < int(options["-t"]):
        before = time.perf_counter()
        session.run(None, fed)
        times.append(time.perf_counter() - before)
    say(f"Total inference time cost: {sum(times):g} s\nTotal inference requests: {len(times)}")
    with Path(rows).open("a") as file:
        file.writelines(f"onnx,{one:g},12345,50,{i}\n" for i, one in enumerate(times))
    return 0


def say(text: str) -> None:
    """One line, as the tools print it."""
    sys.stdout.write(f"INFO: {text}\n")


TOOLS = {"benchmark_model": benchmark_model, "onnxruntime_perf_test": onnxruntime_perf_test}
# Starts in a few milliseconds: asks the server at the first argument's socket, prints what it says, ends as it says.
CLIENT = """
import json, os, socket, sys
with socket.socket(socket.AF_UNIX) as asked:
    asked.connect(sys.argv[1])
    asked.sendall(json.dumps([os.getcwd(), sys.argv[2:]]).encode() + b"\\n")
    text = b"".join(iter(lambda: asked.recv(65536), b"")).decode()
text, _, status = text.rpartition("\\n")
sys.stdout.write(text)
sys.exit(int(status))
"""


def serve(path: Path) -> None:
    """Answer clients at a socket until the process is ended, each in a process of its own."""
    import ai_edge_litert.interpreter  # noqa: F401, PLC0415
    import onnx.numpy_helper  # noqa: F401, PLC0415
    import onnxruntime  # noqa: F401, PLC0415

    signal.signal(signal.SIGCHLD, signal.SIG_IGN)
    with socket.socket(socket.AF_UNIX) as listening:
        listening.bind(str(path))
        listening.listen(16)
        while True:
            client, _ = listening.accept()
            if os.fork() == 0:
                answer(client)
            client.close()


def answer(client: socket.socket) -> None:
    """One call, in a process that ends with it."""
    status = 1
    with client, client.makefile("r") as asked, io.StringIO() as said, contextlib.redirect_stdout(said):
        try:
            folder, (tool, *arguments) = json.loads(asked.readline())
            os.chdir(folder)
            status = TOOLS[tool](arguments)
        except Exception:
            traceback.print_exc(file=said)
        client.sendall(f"{said.getvalue()}\n{status}".encode())
    os._exit(0)


if __name__ == "__main__":
    name, *given = sys.argv[1:]
    sys.exit(serve(Path(given[0])) if name == "serve" else TOOLS[name](given))
