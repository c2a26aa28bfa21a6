"""The device side: runs a model file in its own runtime. Needs Python 3.9, numpy and that runtime, nothing of edgekd.

A runtime is a module with literal VERSION, PACKAGES (its distribution first; the only ones beside numpy that it may
import), EXTRA, REQUIRES and PLATFORMS ("linux-x86_64", ...; on another system it is refused), and

    version() -> str                                the runtime's own version
    load(path, threads, signature, batch) -> model  raises fault.Fault for a file that it cannot run
    profiled(path, threads, signature, batch)       the same, while the runtime watches itself; or a literal
                                                    UNPROFILED = "why it cannot tell where operators run"
    arena(model) -> bytes that the runtime itself says it keeps for tensors; or a literal
                                                    NO_ARENA = "why it does not tell"
    described(path) -> {"inputs": [...], "outputs": [...]}    optional: the tensors of a file alone, each as
                                                    tensors.tensor gives it; may raise anything

where `signature` is results.Signature as JSON and `batch` how many samples one run shall take if the file leaves that
open. The model has `batch` (what one run really takes), `notes` (facts of this run, by name), `feed(arrays)` (one array
an input, in the signature's order and types, unchanged until the run is over), `invoke()` (the inference alone: this is
what is timed; a runtime that times its runs itself returns whole nanoseconds) and `outputs()` (one array an output, in
the signature's order). A profiled one also has `placed()`, once
its runs are over: {"operators": [placement.operator(...), ...], "partitions": how many parts the delegate took (None:
there is no delegate), "untimed": "why there are no seconds" or "", "coarse": by how many seconds each of them may fall
short}.
"""

VERSION = 1
