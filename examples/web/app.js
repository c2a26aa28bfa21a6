// Names what the camera sees, and keeps a list of it. All that it knows of the model is the bundle's own interface.

import { load } from "classifier";

// An answer counts when so many frames in a row give it.
const ALIKE = 3;

const find = (id) => document.getElementById(id);
const percent = (share) => `${Math.round(100 * share)} %`;

/** Tells an answer once it has been the same for a few frames; null while there is none. */
class Steady {
    #label = null;
    #count = 0;
    told = null;

    next({ label, accepted }) {
        const now = accepted ? label : null;
        this.#count = now === this.#label ? this.#count + 1 : 1;
        this.#label = now;
        if (this.#count < ALIKE || now === this.told) {
            return false;
        }
        this.told = now;
        return true;
    }
}

function show(result, changed, told) {
    find("answer").textContent = told ?? "Hold something in front of the camera";
    find("facts").textContent = `${result.label} ${percent(result.confidence)}${result.accepted ? "" : ", not sure"}, `
        + `${result.milliseconds.toFixed(0)} ms a frame`;
    if (changed && told) {
        const entry = document.createElement("li");
        entry.textContent = `${new Date().toLocaleTimeString()}  ${told}`;
        find("seen").prepend(entry);
    }
}

async function watch(model) {
    const video = find("camera");
    video.srcObject = await navigator.mediaDevices.getUserMedia({ video: { facingMode: "environment" } });
    await video.play();
    find("go").hidden = true;
    const steady = new Steady();
    for (;;) {
        const result = await model.classify(video);
        show(result, steady.next(result), steady.told);
        await new Promise(requestAnimationFrame);
    }
}

function fail(error) {
    find("answer").textContent = error.message;
    find("go").hidden = false;
}

try {
    const model = await load();
    find("answer").textContent = "Ready";
    find("facts").textContent = `${model.runtime.name} ${model.runtime.version}, ${model.accelerator.used}`;
    find("go").disabled = false;
    find("go").onclick = () => watch(model).catch(fail);
} catch (error) {
    fail(error);
}
