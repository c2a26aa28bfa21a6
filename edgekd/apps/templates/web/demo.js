// The page that tries the model: a photo or the camera in, an answer out; and the self-test.

import { load, selfTest } from "./index.js";

const find = (id) => document.getElementById(id);
const make = (tag, text, kind = "") => Object.assign(document.createElement(tag), { textContent: text, className: kind });
const percent = (share) => `${(100 * share).toFixed(1)} %`;
let model = null, shown = null;

function say(text, bad = false) {
    find("state").textContent = text;
    find("state").classList.toggle("bad", bad);
}

function bars({ top, label, accepted, confidence }, head = "") {
    const list = document.createElement("dl");
    for (const one of top) {
        const meter = Object.assign(document.createElement("meter"), { value: one.probability });
        meter.setAttribute("aria-label", `${one.label} ${percent(one.probability)}`);
        list.append(make("dt", one.label), meter, make("dd", percent(one.probability)));
    }
    const text = accepted ? `${label}, ${percent(confidence)}` : `Not sure: ${label}, ${percent(confidence)}`;
    return [make("p", head ? `${head}: ${text}` : text), list];
}

function parts(result) {
    if (result.heads) {
        return Object.entries(result.heads).flatMap(([head, one]) => bars(one, head));
    }
    if (result.values) {
        return Object.entries(result.values).map(([name, one]) => make("p", `${name}: ${one.value.toPrecision(5)} ${one.unit}`));
    }
    return result.label === undefined ? [make("p", Array.from(result.outputs.slice(0, 8)).join(", "))] : bars(result);
}

async function show(sample) {
    try {
        const result = await model.classify(sample);
        find("answer").replaceChildren(...parts(result), make("p", `in ${result.milliseconds.toFixed(0)} ms`, "soft"));
    } catch (error) {
        find("answer").replaceChildren(make("p", error.message, "bad"));
    }
}

function seen(video) {
    find("shown").hidden = false;
    find("video").hidden = find("shoot").hidden = !video;
    find("photo").hidden = video;
}

async function chosen() {
    const file = find("file")?.files[0];
    if (file && model) {
        stop();
        URL.revokeObjectURL(shown);
        shown = find("photo").src = URL.createObjectURL(file);
        seen(false);
        await show(file);
    }
}

function stop() {
    find("video").srcObject?.getTracks().forEach((track) => track.stop());
    find("video").srcObject = null;
}

async function camera() {
    try {
        find("video").srcObject = await navigator.mediaDevices.getUserMedia({ video: { facingMode: "environment" } });
        await find("video").play();
        seen(true);
        find("answer").replaceChildren();
    } catch (error) {
        find("answer").replaceChildren(make("p", `The camera is not there: ${error.message}`, "bad"));
    }
}

function line({ what, passed, why }) {
    const item = make("li", "", passed === null ? "open" : passed ? "" : "bad");
    item.append(make("span", what), make("b", passed === null ? "not checked" : passed ? "ok" : "wrong"));
    if (why) {
        item.append(make("small", why));
    }
    return item;
}

function verdict({ passed, latency }) {
    const times = latency ? [...latency.seconds].sort((a, b) => a - b) : [];
    const median = times[Math.floor(times.length / 2)];
    const speed = median ? `, ${(1000 * median).toPrecision(3)} ms a run` : "";
    return passed ? `Everything is as it was recorded${speed}` : "Something is wrong on this device";
}

async function test() {
    find("test").disabled = true;
    find("bar").hidden = false;
    find("download").hidden = true;
    find("checks").replaceChildren();
    const progress = ({ done, text }) => {
        find("bar").value = done;
        find("verdict").textContent = text;
    };
    try {
        const found = await selfTest(model ?? {}, { protocol: find("long").checked ? "number" : "look", progress });
        find("verdict").textContent = verdict(found);
        find("checks").replaceChildren(...found.checks.map(line));
        const file = new Blob([JSON.stringify(found, null, 1)], { type: "application/json" });
        URL.revokeObjectURL(find("download").href);
        Object.assign(find("download"), { href: URL.createObjectURL(file), hidden: false });
    } catch (error) {
        find("verdict").textContent = error.message;
    }
    find("bar").hidden = true;
    find("test").disabled = false;
}

find("test").onclick = test;
if (find("file")) {
    find("file").onchange = chosen;
    find("camera").onclick = camera;
    find("camera").hidden = !navigator.mediaDevices;
    find("shoot").onclick = () => show(find("video"));
}
try {
    model = await load();
    const { used, threads } = model.accelerator;
    find("facts").textContent = `${model.runtime.name} ${model.runtime.version}, ${used}, ${threads} thread${threads > 1 ? "s" : ""}.`;
    say("Ready");
    await chosen();
} catch (error) {
    say(error.message, true);
    find("try")?.setAttribute("hidden", "");
}
find("test").disabled = false;
