// The checks of the self-test, in their order. Each gives nothing, or why it failed, or [passed, why];
// passed is null where a check cannot be made here.

import { answer, told } from "./answer.js";
import { pixelsOf } from "./decode.js";
import { prepare, toCanvas } from "./preprocess.js";
import { amiss, apart, bytesOf, goldens } from "./runtime.js";

// Levels of 255 by which decoders of lossy formats may differ: of any value, and on average.
const LEVELS = 8, MEAN = 1;
// Share of the largest input by which preparing may differ.
const SHARE = 1e-5;

export const CHECKS = ({ model, page }) => [
    { what: "files", look: files },
    ...page.pictures.map((one) => ({ what: `decode ${one.file}`, look: (test) => decoded(test, one) })),
    ...page.pictures.map((one) => ({ what: `prepare ${one.file}`, look: (test) => prepared(test, one) })),
    ...model.signature.outputs.map(({ name }, i) => ({ what: `model ${name}`, look: (test) => outputs(test, name, i) })),
    { what: "answers", look: answers },
    { what: "pictures", look: pictures },
];

async function files(test) {
    const { base, model } = test, secure = globalThis.crypto?.subtle;
    for (const [name, { sha256, size }] of Object.entries(model.files)) {
        const bytes = await bytesOf(base, name);
        if (bytes.length !== size) {
            return `${name} has ${bytes.length} bytes, not ${size}`;
        }
        const found = secure ? hex(await secure.digest("SHA-256", bytes)) : sha256;
        if (secure && name === model.file.name) {
            test.sha256 = found;
        }
        if (found !== sha256) {
            return `${name} is another file than was built (sha256 ${found.slice(0, 12)}, not ${sha256.slice(0, 12)})`;
        }
    }
    return secure ? "" : [null, "only sizes: this page is not secure (https), so the browser computes no SHA-256"];
}

function hex(buffer) {
    return Array.from(new Uint8Array(buffer), (byte) => byte.toString(16).padStart(2, "0")).join("");
}

// Encoded bytes by the app's own decoding, against the recorded canvas.
async function decoded({ base, how }, { file, exact, canvas }) {
    const wanted = await bytesOf(base, `golden/${canvas}`);
    const found = toCanvas(await pixelsOf(await bytesOf(base, `golden/${file}`)), how);
    if (found.length !== wanted.length) {
        return `${found.length} values, ${wanted.length} are recorded`;
    }
    const gaps = wanted.map((value, i) => Math.abs(value - found[i]));
    const largest = gaps.reduce((most, gap) => Math.max(most, gap), 0);
    const mean = gaps.reduce((sum, gap) => sum + gap, 0) / gaps.length;
    const [most, usual] = exact ? [0, 0] : [LEVELS, MEAN];
    const fits = largest <= most && mean <= usual;
    return fits ? "" : `${largest} levels of 255 apart, on average ${mean.toFixed(2)}; ${most} and ${usual} are allowed`;
}

// The recorded canvas by the app's own preparation, against the recorded input.
async function prepared({ base, how }, { canvas, input }) {
    const wanted = new Float32Array((await bytesOf(base, `golden/${input}`)).buffer);
    const allowed = SHARE * wanted.reduce((most, value) => Math.max(most, Math.abs(value)), 1);
    const gap = apart(prepare(await bytesOf(base, `golden/${canvas}`), how), wanted);
    return gap <= allowed ? "" : `the input differs by ${gap.toPrecision(3)}, ${allowed.toPrecision(1)} is allowed`;
}

function ready({ classifier, error }) {
    if (!classifier) {
        throw error;
    }
    return classifier;
}

// What the model gives for the recorded inputs, once for all checks.
async function ran(test) {
    test.ran ??= (async () => {
        const classifier = ready(test), { inputs } = test.model.signature, golden = await goldens(test.base, test.page);
        const found = [];
        for (const arrays of golden.inputs) {
            found.push(await classifier.run(Object.fromEntries(inputs.map(({ name }, i) => [name, arrays[i]]))));
        }
        return { golden, found };
    })();
    return test.ran;
}

async function outputs(test, name, number) {
    if (test.page.missing) {
        return [null, `no outputs are recorded: ${test.page.missing}`];
    }
    const { golden, found } = await ran(test), { tolerance } = test.model;
    let gap = Math.max(...golden.outputs.map((wanted, i) => apart(found[i][name], wanted[number])));
    for (const picture of number === 0 ? test.page.pictures : []) {
        const { name: input } = test.model.signature.inputs[0];
        const values = new Float32Array((await bytesOf(test.base, `golden/${picture.input}`)).buffer);
        const given = await test.classifier.run({ [input]: values });
        gap = Math.max(gap, apart(given[name], picture.outputs));
    }
    test.difference = Math.max(gap, test.difference ?? 0);
    return gap <= tolerance ? "" : amiss(gap, tolerance);
}

// What the application makes of the recorded outputs.
async function answers(test) {
    const { page, model } = test;
    if (!page.answers.length) {
        return [null, page.missing ? "no outputs are recorded" : "the model tells no classes"];
    }
    const golden = await goldens(test.base, page);
    for (const [i, wanted] of page.answers.entries()) {
        const found = told(answer(golden.outputs[i][0], model.signature));
        const why = unlike(found, wanted, wanted.decided, true, model.answer_tolerance);
        if (why) {
            return `sample ${i + 1}: ${why}`;
        }
    }
    return "";
}

// The whole chain, as an application calls it.
async function pictures(test) {
    if (!test.page.pictures.length || test.page.missing) {
        return [null, test.page.missing ? "no outputs are recorded" : "the model takes no image files"];
    }
    for (const { file, exact, answer: wanted, outputs: numbers } of test.page.pictures) {
        const found = await ready(test).classify(await bytesOf(test.base, `golden/${file}`));
        const gap = exact ? apart(found.outputs, numbers) : 0;
        const why = wanted
            ? unlike(told(found), wanted, wanted.decided && exact, exact, test.model.probability_tolerance)
            : gap <= test.model.tolerance ? "" : amiss(gap, test.model.tolerance);
        if (why) {
            return `${file}: ${why}`;
        }
    }
    return "";
}

function unlike(found, wanted, labels, probabilities, allowed) {
    for (const [i, label] of wanted.labels.entries()) {
        const gap = Math.abs(found.probabilities[i] - wanted.probabilities[i]);
        if (labels && found.labels[i] !== label) {
            return `the answer is ${found.labels[i]}, ${label} is recorded`;
        }
        if (probabilities && !(gap <= allowed)) {
            const [ours, theirs] = [found, wanted].map((one) => one.probabilities[i].toFixed(4));
            return `the probability is ${ours}, ${theirs} is recorded and ${allowed.toPrecision(2)} is allowed`;
        }
    }
    return "";
}
