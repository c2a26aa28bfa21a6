// Does this application, here, do what was recorded when the model was built? And how fast? See README.md.

import { CHECKS } from "./checks.js";
import { load } from "./classifier.js";
import { device } from "./device.js";
import { CPU, RUNTIME } from "./engine.js";
import { latency } from "./latency.js";
import { baseOf, goldens, pageOf } from "./runtime.js";

/** Run every check, then the clock. `subject` is a classifier, or what load() takes: a model that does not load fails. */
export async function selfTest(subject = {}, { protocol = "look", progress = () => {} } = {}) {
    const ready = typeof subject.classify === "function", test = { base: ready ? subject.base : baseOf(subject) };
    test.progress = (done, text) => progress({ done, text });
    test.progress(0, "loading");
    test.model = await pageOf(test.base, "model.json");
    // without it the rest cannot be looked at, and that of the files fails
    const none = (error) => ({ pictures: [], answers: [], missing: error.message });
    test.page = await pageOf(test.base, "golden/golden.json").catch(none);
    test.how = test.model.signature.inputs[0].preprocess;
    const opened = ready ? subject : await load(subject).catch((error) => ({ error }));
    test.classifier = opened.error ? null : opened;
    test.error = opened.error ?? null;
    try {
        return await tested(test, protocol);
    } finally {
        if (!ready) {
            await test.classifier?.close();
        }
    }
}

async function tested(test, protocol) {
    test.checks = [];
    for (const { what, look } of CHECKS(test)) {
        test.progress(0, what);
        test.checks.push({ what, ...await checked(() => look(test)) });
    }
    const passed = test.checks.every((one) => one.passed !== false);
    const times = passed && test.classifier ? await clocked(test, protocol) : null;
    return report(test, await device(), passed, times);
}

// A check tells why it failed, or nothing; an array says more. One that raises has failed.
async function checked(look) {
    try {
        const found = await look();
        const [passed, why] = Array.isArray(found) ? found : [!found, found ?? ""];
        return { passed, why };
    } catch (error) {
        return { passed: false, why: String(error?.message ?? error) };
    }
}

async function clocked(test, protocol) {
    const { inputs } = test.model.signature, golden = await goldens(test.base, test.page);
    const sample = Object.fromEntries(inputs.map(({ name }, i) => [name, golden.inputs[0][i]]));
    const times = await latency(() => test.classifier.run(sample), protocol, test.progress);
    return { ...times, ...test.classifier.seconds };
}

function report({ model, classifier, checks, sha256, difference }, found, passed, times) {
    return {
        schema_version: 1,
        kind: "edgekd self-test",
        app: "web",
        created: new Date().toISOString().replace(/\.\d+Z$/, "+00:00"),
        model: { name: model.file.name, sha256: sha256 ?? model.file.sha256, slug: model.slug },
        device: found,
        runtime: RUNTIME,
        accelerator: classifier?.accelerator ?? { used: CPU.name, threads: 1, tried: [] },
        passed,
        checks,
        difference: Number.isFinite(difference) ? difference : null,
        tolerance: model.tolerance,
        latency: times,
    };
}
