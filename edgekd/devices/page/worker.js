// One job in a worker of its own, which has no past: load a model, then run it over samples or time it.
"use strict";

// A window of the warm-up has so many runs and milliseconds; it ends when two windows in a row agree by AGREE.
const WINDOW_RUNS = 16, WINDOW = 40, AGREE = 0.05;
// A timed batch lasts so many steps of the clock at least, so that a step is 2 % of it.
const STEPS = 50;
const FLOAT = ": build a file whose inputs and outputs are floats, for example with --precision int8";
const SINGLE = "LiteRT.js runs files for one sample at a time, and this one takes any number: build with --target tflite@browser";
const SLOWER = "LiteRT.js has threads only in browsers with relaxed SIMD, which this one has not: write --threads 1";
const SCRIPT = { type: "text/javascript" };
const ARRAYS = {
  float32: Float32Array, float16: Uint16Array, int8: Int8Array, uint8: Uint8Array, int16: Int16Array,
  int32: Int32Array, int64: BigInt64Array, bool: Uint8Array,
};

self.onmessage = async ({ data: job }) => {
  try {
    postMessage({ kind: "answer", answer: await { predict, clock }[job.verb](job) });
  } catch (error) {
    postMessage({ kind: "answer", answer: { error: String(error?.message ?? error).slice(0, 2000) } });
  }
};

// `started`: the runtime has given its first answer, so that long silences are its work.
function progress(done, text, started = true) {
  postMessage({ kind: "progress", done, text, started });
}

// Runtimes: each gives `feed(arrays)`, what `run(fed)` takes, and `run(fed)`, the outputs as [dtype, shape, array].

const RUNTIMES = {
  async onnx(job, model) {
    const gpu = job.accelerator === "webgpu";
    const ort = await import(`${job.base}onnx/ort.${gpu ? "webgpu" : "wasm"}.min.mjs`);
    ort.env.wasm.wasmPaths = new URL(`${job.base}onnx/`, self.location).href;
    ort.env.wasm.numThreads = job.threads;
    ort.env.logLevel = "error";
    const session = await ort.InferenceSession.create(model, { executionProviders: [gpu ? "webgpu" : "wasm"] });
    const names = match(job.inputs.map((one) => one.name), session.inputNames, "inputs");
    const wanted = match(job.outputs, session.outputNames, "outputs");
    return {
      feed: (arrays) => Object.fromEntries(arrays.map((array, i) => {
        const { dtype, shape } = job.inputs[i];
        return [session.inputNames[names[i]], new ort.Tensor(dtype, array, [1, ...shape])];
      })),
      async run(feeds) {
        return session.run(feeds);
      },
      async read(found) {
        return Promise.all(wanted.map(async (i) => {
          const tensor = found[session.outputNames[i]];
          return [tensor.type, tensor.dims, await tensor.getData()];
        }));
      },
      drop() {},
    };
  },

  async tflite(job, model) {
    const litert = await import(`${job.base}tflite/index.js`);
    const place = new URL(`${job.base}tflite/`, self.location).href;
    // in a worker its loader looks for its files beside the worker; its threads get their script from memory, since
    // requests that die with an earlier job's threads can hold up those of the next
    self.Module = { locateFile: (name) => place + name };
    if (job.threads > 1) {
      if (!await litert.supportsFeature("relaxedSimd")) {
        throw new Error(SLOWER);
      }
      self.Module.mainScriptUrlOrBlob = new Blob([await fetched(`${place}litert_wasm_threaded_internal.js`)], SCRIPT);
    }
    const lite = await litert.loadLiteRt(place, { threads: job.threads > 1 });
    if (job.accelerator === "webgpu" && !await navigator.gpu?.requestAdapter()) {
      throw new Error("this browser gives no WebGPU adapter");
    }
    const options = { accelerator: job.accelerator, cpuOptions: { numThreads: job.threads } };
    const compiled = await lite.loadAndCompile(model, options).catch((error) => {
      const boundary = /Element type (\w+) is not supported/.exec(error?.message);
      throw boundary ? new Error(`LiteRT.js takes and gives no ${boundary[1].toLowerCase()} tensors${FLOAT}`) : error;
    });
    if (compiled.options.accelerator !== job.accelerator) {
      throw new Error(`LiteRT.js cannot run all of this file by ${job.accelerator}`);
    }
    const inputs = compiled.getInputDetails(), outputs = compiled.getOutputDetails();
    if (inputs.some((one) => one.shape[0] !== 1)) {
      throw new Error(SINGLE);
    }
    const names = match(job.inputs.map((one) => one.name), inputs.map((one) => one.name), "inputs");
    const wanted = match(job.outputs, outputs.map((one) => one.name), "outputs");
    return {
      feed(arrays) {
        const tensors = [];
        arrays.forEach((array, i) => {
          const details = inputs[names[i]];
          tensors[names[i]] = new litert.Tensor(cast(array, details.dtype), [1, ...job.inputs[i].shape]);
        });
        return tensors;
      },
      run: (tensors) => compiled.run(tensors),
      async read(found) {
        return Promise.all(wanted.map(async (i) => {
          const { dtype, shape } = outputs[i];
          return [dtype, Array.from(shape), await found[i].data()];
        }));
      },
      drop(found) {
        found.forEach((tensor) => tensor.delete());
      },
    };
  },
};

// Where each wanted name is among a file's own; by position if it has none of them.
function match(wanted, own, what) {
  if (wanted.every((name) => own.includes(name))) {
    return wanted.map((name) => own.indexOf(name));
  }
  if (wanted.length === own.length && !wanted.some((name) => own.includes(name))) {
    return wanted.map((_, i) => i);
  }
  throw new Error(`the signature's ${what} (${wanted.join(", ")}) are not those of the file (${own.join(", ")})`);
}

// Only widths may differ: 64-bit ids in a 32-bit file.
function cast(array, dtype) {
  if (array instanceof ARRAYS[dtype]) {
    return array;
  }
  if (dtype === "int32" && array instanceof BigInt64Array) {
    return Int32Array.from(array, Number);
  }
  throw new Error(`an input of the file is ${dtype}, its samples are ${array.constructor.name.replace("Array", "")}`);
}

async function fetched(url) {
  const response = await fetch(url);
  if (!response.ok) {
    throw new Error(`the computer refused ${url}: ${await response.text()}`);
  }
  return response.arrayBuffer();
}

// Samples start..stop as arrays by sample, then by input; the computer has prepared them.
async function samples(job, start, stop) {
  const buffer = await fetched(`${job.path}/inputs?start=${start}&stop=${stop}`);
  const found = Array.from({ length: stop - start }, () => []);
  let offset = 0;
  for (const { dtype, shape } of job.inputs) {
    const size = shape.reduce((product, n) => product * n, 1), bytes = size * ARRAYS[dtype].BYTES_PER_ELEMENT;
    for (const one of found) {
      one.push(new ARRAYS[dtype](buffer.slice(offset, offset + bytes)));
      offset += bytes;
    }
  }
  return found;
}

async function load(job) {
  const model = new Uint8Array(await fetched(`${job.path}/model`));
  progress(0, "starting the runtime", false);
  const started = performance.now();
  const loaded = await RUNTIMES[job.runtime](job, model);
  return [loaded, performance.now() - started];
}

async function predict(job) {
  const [model] = await load(job);
  const started = performance.now();
  for (let start = 0; start < job.count; start += job.chunk) {
    const stop = Math.min(start + job.chunk, job.count);
    const pieces = [];
    let told = null;
    for (const arrays of await samples(job, start, stop)) {
      const fed = model.feed(arrays), found = await model.run(fed);
      const outputs = await model.read(found);
      told = outputs.map(([dtype, shape]) => ({ dtype, shape: Array.from(shape).slice(1) }));
      pieces.push(...outputs.map(([, , array]) => new Uint8Array(array.slice().buffer)));
      model.drop(found);
      if (Array.isArray(fed)) {
        model.drop(fed);
      }
    }
    const headers = { "content-type": "application/octet-stream", "x-outputs": JSON.stringify(told) };
    const url = `${job.path}/outputs?start=${start}&stop=${stop}`;
    const response = await fetch(url, { method: "POST", headers, body: new Blob(pieces) });
    if (!response.ok) {
      throw new Error(`the computer refused the outputs: ${await response.text()}`);
    }
    progress(stop / job.count, `${stop} of ${job.count} samples`);
  }
  return { seconds: (performance.now() - started) / 1000 };
}

// Time one session. All times of the answer are seconds; each latency is the mean of `means` runs in a row.
async function clock(job) {
  const [model, loaded] = await load(job);
  const fed = (await samples(job, 0, job.count)).map((arrays) => model.feed(arrays));
  let turn = 0;
  const timed = async (count) => {
    const started = performance.now();
    for (let i = 0; i < count; i++) {
      model.drop(Object.values(await model.run(fed[turn++ % fed.length])).filter((one) => one.delete));
    }
    return performance.now() - started;
  };
  progress(0, "first inference", false);
  const first = await timed(1);
  progress(0, "warming up");
  const step = resolution();
  const piece = first > WINDOW / WINDOW_RUNS ? 1 : WINDOW_RUNS;
  const [typical, warmup, settled] = await warmUp(timed, piece, 1000 * job.longest_warmup);
  const means = Math.max(1, Math.ceil(STEPS * step / typical));
  const told = { load: loaded / 1000, first: first / 1000, warmup, settled, means, resolution: step / 1000 };
  if (job.minutes) {
    return { ...told, minutes: await soaked(job, timed, means, typical) };
  }
  const wanted = Math.max(job.least, Math.ceil(1000 * job.seconds / typical));
  const total = Math.max(2, Math.min(wanted, Math.floor(1000 * job.longest / typical)));
  const batches = Math.max(2, Math.ceil(total / means)), every = Math.ceil(batches / job.most);
  const runs = Math.ceil(batches / every), latencies = [];
  const started = performance.now();
  let said = started;
  for (let i = 0; i < runs * every; i++) {
    const taken = await timed(means) / means / 1000;
    if (i % every === 0) {
      latencies.push(taken);
    }
    if (performance.now() - said > 500) {
      said = performance.now();
      progress(i / (runs * every), "timing");
    }
  }
  return { ...told, runs, stride: every * means, latencies, seconds: (performance.now() - started) / 1000 };
}

async function warmUp(timed, piece, longest) {
  const started = performance.now();
  let runs = 0, last = Infinity;
  for (;;) {
    const opened = performance.now();
    let window = 0, taken = 0;
    while (window < WINDOW_RUNS || performance.now() - opened < WINDOW) {
      taken += await timed(piece);
      window += piece;
      if (performance.now() - started > longest && runs + window > 1) {
        return [Math.max(taken / window, 1e-4), runs + window, false];
      }
    }
    runs += window;
    const mean = Math.max(taken / window, 1e-4);
    if (Math.abs(mean - last) <= AGREE * mean) {
      return [mean, runs, true];
    }
    last = mean;
  }
}

async function soaked(job, timed, means, typical) {
  const length = 1000 * (job.minute ?? 60), found = [];
  const least = Math.max(1, Math.floor(length / (typical * means) / job.most));
  for (let minute = 0; minute < job.minutes; minute++) {
    const started = performance.now(), latencies = [];
    let runs = 0, said = started;
    while (performance.now() - started < length) {
      const taken = await timed(means) / means / 1000;
      if (runs % (least * means) === 0 && latencies.length < job.most) {
        latencies.push(taken);
      }
      runs += means;
      if (performance.now() - said > 500) {
        said = performance.now();
        progress((minute + (said - started) / length) / job.minutes, `minute ${minute + 1} of ${job.minutes}`);
      }
    }
    found.push({ runs, latencies, after: {} });
  }
  return found;
}

// The smallest step that the clock makes, in milliseconds.
function resolution() {
  let least = Infinity;
  for (let i = 0; i < 20; i++) {
    const before = performance.now();
    let now = before;
    while (now === before) {
      now = performance.now();
    }
    least = Math.min(least, now - before);
  }
  return least;
}
