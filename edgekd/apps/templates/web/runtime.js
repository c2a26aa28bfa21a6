// Which engine runs the model: the processor, or what is faster and gives the recorded outputs. Nothing is sent anywhere.

import { CPU, OTHERS } from "./engine.js";

// Runs of which the median is compared.
const RUNS = 20;
const ARRAYS = {
    float32: Float32Array, int8: Int8Array, uint8: Uint8Array, int16: Int16Array, uint16: Uint16Array,
    int32: Int32Array, int64: BigInt64Array, float64: Float64Array, bool: Uint8Array,
};

/** Where the folder model/ is: beside this file, unless the options say where else. */
export function baseOf({ base } = {}) {
    const place = new URL(base ?? new URL("./model/", import.meta.url), document.baseURI);
    place.pathname += place.pathname.endsWith("/") ? "" : "/";
    return place;
}

/** A file as bytes; `base` is the URL of the folder model/. */
export async function bytesOf(base, name) {
    const response = await fetch(new URL(name, base)).catch((error) => {
        throw new Error(`${name} cannot be read (${error.message})`);
    });
    if (!response.ok) {
        throw new Error(`${name} cannot be read (${response.status}): is the folder model/ at ${base}?`);
    }
    return new Uint8Array(await response.arrayBuffer());
}

/** One of the model's JSON files. */
export async function pageOf(base, name) {
    const text = new TextDecoder().decode(await bytesOf(base, name));
    try {
        return JSON.parse(text);
    } catch {
        throw new Error(`${name} is no JSON: is the folder model/ at ${base}?`);
    }
}

/** The samples of a recorded tensor. */
export async function recorded(base, { dtype, shape, file }, count) {
    const bytes = await bytesOf(base, `golden/${file}`), size = shape.reduce((product, n) => product * n, 1);
    const all = new ARRAYS[dtype](bytes.buffer);
    if (all.length !== count * size) {
        throw new Error(`${file} holds ${all.length} numbers, ${count} samples have ${count * size}`);
    }
    return Array.from({ length: count }, (_, i) => all.slice(i * size, (i + 1) * size));
}

/** Recorded inputs and outputs, by sample, then by tensor. */
export async function goldens(base, page) {
    const read = (tensors) => Promise.all(tensors.map((one) => recorded(base, one, page.count)));
    const turn = (arrays) => Array.from({ length: page.count }, (_, i) => arrays.map((samples) => samples[i]));
    return { inputs: turn(await read(page.inputs)), outputs: turn(await read(page.outputs)) };
}

/** An engine that takes and gives plain numbers, one run at a time, whatever the file itself is made of. */
function plain(engine, signature, load) {
    let queue = Promise.resolve(), first = null;
    const run = async (arrays) => {
        const fed = arrays.map((array, i) => encoded(array, signature.inputs[i])), started = performance.now();
        const found = await engine.run(fed);
        first ??= (performance.now() - started) / 1000;
        return found.map((array, i) => decoded(array, signature.outputs[i]));
    };
    return {
        threads: engine.threads,
        seconds: () => ({ load, first: first ?? 0 }),
        run(arrays) {
            const answer = queue.then(() => run(arrays));
            queue = answer.catch(() => {});
            return answer;
        },
        close: () => queue.then(() => engine.close()),
    };
}

async function open(one, wanted) {
    const started = performance.now(), engine = await one.open(wanted);
    return plain(engine, wanted.signature, (performance.now() - started) / 1000);
}

function encoded(array, { name, shape, dtype, scale, zero_point: zero }) {
    const size = shape.slice(1).reduce((product, n) => product * n, 1);
    if (array?.length !== size && !shape.slice(1).includes(-1)) {
        throw new Error(`the input ${name} has ${size} numbers, not ${array?.length}`);
    }
    if (scale === null || !(array instanceof Float32Array)) {
        return array instanceof ARRAYS[dtype] ? array : ARRAYS[dtype].from(array);
    }
    const [low, high] = dtype === "int8" ? [-128, 127] : dtype === "uint8" ? [0, 255] : [-32768, 32767];
    const level = (value) => Math.min(high, Math.max(low, even(Math.fround(value / Math.fround(scale))) + (zero ?? 0)));
    return ARRAYS[dtype].from(array, level);
}

function even(value) {
    const whole = Math.floor(value);
    return value - whole === 0.5 ? whole + (whole & 1) : Math.round(value);
}

function decoded(array, { scale, zero_point: zero }) {
    return Float32Array.from(array, (value) => (scale === null ? Number(value) : (Number(value) - (zero ?? 0)) * scale));
}

/** The largest difference of an engine's outputs from the recorded ones; Infinity where one is no finite number. */
export async function difference(engine, { inputs, outputs }) {
    let largest = 0;
    for (let i = 0; i < inputs.length; i++) {
        const found = await engine.run(inputs[i]);
        outputs[i].forEach((wanted, k) => { largest = Math.max(largest, apart(found[k], wanted)); });
    }
    return largest;
}

/** The largest difference of two arrays; Infinity where one holds other than finite numbers, or fewer. */
export function apart(found, wanted) {
    let largest = found.length === wanted.length ? 0 : Infinity;
    for (let i = 0; i < wanted.length; i++) {
        const gap = Math.abs(found[i] - wanted[i]);
        largest = Number.isFinite(gap) ? Math.max(largest, gap) : Infinity;
    }
    return largest;
}

/** Open the model with the best engine that is true to the recorded outputs; `tried` says why others are not. */
export async function choose(wanted, model, golden, offered = OTHERS) {
    const cpu = await open(CPU, wanted), tried = [];
    const gap = await difference(cpu, golden);
    if (!(gap <= model.tolerance)) {
        await cpu.close();
        throw new Error(`${model.file.name} does not give its recorded outputs here: ${amiss(gap, model.tolerance)}`);
    }
    for (const one of offered) {
        const { engine, ...told } = await attempt(one, wanted, model, golden, cpu);
        tried.push(told);
        if (engine) {
            await cpu.close();
            return { engine, used: one.name, tried };
        }
    }
    return { engine: cpu, used: CPU.name, tried };
}

async function attempt(one, wanted, model, golden, cpu) {
    let engine = null;
    try {
        engine = await open(one, wanted);
        const { why, seconds } = await judged(engine, model, golden, cpu);
        if (!why) {
            return { name: one.name, kept: true, why: "gives the recorded outputs, and is faster", seconds, engine };
        }
        await engine.close();
        return { name: one.name, kept: false, why, seconds };
    } catch (error) {
        await Promise.resolve(engine?.close()).catch(() => {});
        return { name: one.name, kept: false, why: String(error?.message ?? error), seconds: null };
    }
}

async function judged(engine, model, golden, cpu) {
    if (!golden.outputs.length || !golden.outputs[0].length) {
        return { why: "there are no recorded outputs to compare with", seconds: null };
    }
    const gap = await difference(engine, golden);
    if (!(gap <= model.tolerance)) {
        return { why: amiss(gap, model.tolerance), seconds: null };
    }
    const theirs = await median(engine, golden), ours = await median(cpu, golden);
    const slow = theirs < ours ? "" : `${show(theirs)} a run, the processor takes ${show(ours)}`;
    return { why: slow, seconds: theirs };
}

async function median(engine, { inputs }) {
    const found = [];
    for (let i = 0; i < RUNS; i++) {
        const started = performance.now();
        await engine.run(inputs[i % inputs.length]);
        found.push((performance.now() - started) / 1000);
    }
    return found.sort((a, b) => a - b)[RUNS / 2];
}

function show(seconds) {
    return seconds ? `${(1000 * seconds).toPrecision(3)} ms` : "less than the clock tells";
}

/** "outputs differ by 3.1, 0.0095 is allowed" */
export function amiss(gap, tolerance) {
    const told = Number.isFinite(gap) ? `outputs differ by ${gap.toPrecision(3)}` : "outputs are no finite numbers";
    return `${told}, ${Number(tolerance.toPrecision(3))} is allowed`;
}
