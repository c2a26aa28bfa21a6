// Opening the model, and what is opened: it classifies until it is closed.

import { answer } from "./answer.js";
import { pixelsOf } from "./decode.js";
import { RUNTIME } from "./engine.js";
import { prepare, toCanvas } from "./preprocess.js";
import { baseOf, bytesOf, choose, goldens, pageOf } from "./runtime.js";

// More threads than this make small models slower.
const THREADS = 4;

/** Open the model on what runs it fastest here, if that gives the outputs that were recorded for it. */
export async function load(options = {}) {
    const base = baseOf(options), [model, page] = await Promise.all(
        [pageOf(base, "model.json"), pageOf(base, "golden/golden.json")]);
    const [bytes, golden] = await Promise.all([bytesOf(base, model.file.name), goldens(base, page)]);
    if (bytes.length !== model.file.size) {
        throw new Error(`${model.file.name} has ${bytes.length} bytes, not ${model.file.size}: copy it again`);
    }
    const possible = self.crossOriginIsolated ? Math.min(THREADS, navigator.hardwareConcurrency ?? 1) : 1;
    const wanted = { model: bytes, signature: model.signature, threads: options.threads ?? possible, wasm: options.wasm };
    return new Classifier(base, model, await choose(wanted, model, golden, options.accelerators));
}

class Classifier {
    #engine;

    constructor(base, model, { engine, used, tried }) {
        this.#engine = engine;
        this.base = base;
        this.model = model;
        this.runtime = RUNTIME;
        this.accelerator = { used, threads: engine.threads, tried };
        this.seconds = engine.seconds();
    }

    /** Classify an image (encoded bytes, element, bitmap or pixels), or arrays by the name of their input. */
    async classify(sample) {
        const started = performance.now(), { signature } = this.model;
        const how = signature.inputs.length === 1 ? signature.inputs[0].preprocess : null;
        const inputs = how
            ? { [signature.inputs[0].name]: prepare(toCanvas(await pixelsOf(sample), how), how) }
            : sample;
        const outputs = (await this.run(inputs))[signature.outputs[0].name];
        return { ...answer(outputs, signature), outputs, milliseconds: performance.now() - started };
    }

    /** Run the model alone: prepared inputs by name, outputs by name. */
    async run(inputs) {
        if (!this.#engine) {
            throw new Error("this classifier is closed");
        }
        const { signature } = this.model;
        const found = await this.#engine.run(signature.inputs.map(({ name }) => inputs[name]));
        return Object.fromEntries(signature.outputs.map(({ name }, i) => [name, found[i]]));
    }

    /** Give back what the engine holds. */
    async close() {
        const engine = this.#engine;
        this.#engine = null;
        await engine?.close();
    }
}
