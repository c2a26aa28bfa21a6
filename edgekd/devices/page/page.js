// The page that a phone opens: it takes jobs from the computer, gives each to a new worker, and shows how far it is.

// Milliseconds between tries to reach the computer, and until they end; how many of the last jobs are listed.
const RETRY = 1000, PATIENCE = 60000, SHOWN = 8;
// A worker that says nothing for so many milliseconds before its first inference is stuck, and is started again.
const STUCK = 60000, STARTS = 3;
const find = (id) => document.getElementById(id);
const state = find("state"), bar = find("bar"), detail = find("detail");
let socket = null, running = null, lost = 0, over = false, hidden = document.hidden, lock = null;

function show(text, more = "", bad = false) {
  state.textContent = text;
  state.classList.toggle("bad", bad);
  detail.textContent = more;
}

function row(text, value) {
  const cells = [text, value].map((one) => Object.assign(document.createElement("td"), { textContent: one }));
  const line = document.createElement("tr");
  line.append(...cells);
  const body = find("done").querySelector("tbody");
  body.prepend(line);
  while (body.childElementCount > SHOWN) {
    body.lastElementChild.remove();
  }
  find("done").hidden = false;
}

function threads() {
  return self.crossOriginIsolated ? Math.max(1, navigator.hardwareConcurrency ?? 1) : 1;
}

async function facts() {
  const wanted = ["model", "platform", "platformVersion", "architecture", "bitness", "fullVersionList"];
  const data = await navigator.userAgentData?.getHighEntropyValues(wanted).catch(() => null);
  return {
    agent: navigator.userAgent,
    data: data ?? null,
    cores: navigator.hardwareConcurrency ?? null,
    memory: navigator.deviceMemory ?? null,
    screen: [screen.width, screen.height].sort((a, b) => a - b),
    secure: self.isSecureContext,
    isolated: self.crossOriginIsolated === true,
    threads: threads(),
    gpu: Boolean(await navigator.gpu?.requestAdapter().catch(() => null)),
  };
}

function list(known) {
  const lines = {
    "Processor threads": known.isolated ? `up to ${known.threads}` : "1 (this page is not isolated)",
    "WebGPU": known.gpu ? "there" : "not there",
    "Memory": known.memory ? `${known.memory} GiB or more` : "not told",
  };
  find("facts").replaceChildren(...Object.entries(lines).flatMap(([term, text]) => [
    Object.assign(document.createElement("dt"), { textContent: term }),
    Object.assign(document.createElement("dd"), { textContent: text }),
  ]));
}

async function connect() {
  const known = await facts();
  list(known);
  const address = new URL("socket", location.href);
  address.protocol = address.protocol.replace("http", "ws");
  socket = new WebSocket(address);
  socket.onopen = () => {
    lost = 0;
    say({ kind: "hello", facts: known, running: running?.job.number ?? null });
    if (!running) {
      show("Connected", "Waiting for the computer");
    }
  };
  socket.onmessage = ({ data }) => heard(JSON.parse(data));
  socket.onclose = ({ code, reason }) => closed(code, reason);
}

function say(message) {
  if (socket?.readyState === WebSocket.OPEN) {
    socket.send(JSON.stringify(message));
  }
}

function closed(code, reason) {
  if (over) {
    return;
  }
  if (code >= 4000) {
    over = true;
    show(reason, "", true);
    return;
  }
  lost ||= Date.now();
  if (Date.now() - lost > PATIENCE) {
    over = true;
    running?.worker?.terminate();
    show("The computer is gone", "If it still measures, reload this page", true);
    return;
  }
  show("The computer does not answer", "Trying again", true);
  setTimeout(connect, RETRY);
}

async function awake() {
  try {
    lock ??= await navigator.wakeLock?.request("screen");
    lock?.addEventListener("release", () => { lock = null; });
  } catch {
    lock = null;
  }
}

async function heard(message) {
  if (message.kind === "bye") {
    over = true;
    const cut = running !== null && running.answer === null;
    if (cut) {
      running.worker?.terminate();
    }
    bar.value = cut ? bar.value : 1;
    show(cut ? "Ended on the computer" : "Done", "You may close this page", cut);
  } else if (message.kind === "job") {
    await start(message);
  }
}

async function start(job) {
  if (running?.job.number === job.number) {
    if (running.answer) {
      say(running.answer);
    }
    return;
  }
  running?.worker?.terminate();
  await awake();
  const own = running = { job, worker: null, answer: null };
  bar.value = 0;
  show(job.title, job.file);
  const before = await power();
  if (running === own && !over) {
    begin(job, before, 1);
  }
}

function begin(job, before, starts) {
  const worker = running.worker = new Worker("worker.js");
  hidden = document.hidden;
  let alive = true;
  const watch = setInterval(() => {
    if (over || running?.worker !== worker || starts >= STARTS) {
      clearInterval(watch);
    } else if (!alive) {
      clearInterval(watch);
      worker.terminate();
      begin(job, before, starts + 1);
    }
    alive = false;
  }, STUCK);
  worker.onmessage = async ({ data }) => {
    alive = true;
    if (data.kind === "progress") {
      if (data.started) {
        clearInterval(watch);
      }
      bar.value = data.done;
      detail.textContent = data.text;
      say({ kind: "progress", number: job.number, done: data.done, text: data.text });
      return;
    }
    clearInterval(watch);
    worker.terminate();
    bar.value = 1;
    const answer = { ...data.answer, hidden, before, after: await power() };
    running.answer = { kind: "answer", number: job.number, answer };
    say(running.answer);
    finished(job, answer);
  };
  worker.onerror = (event) => {
    worker.onmessage({ data: { kind: "answer", answer: { error: event.message || "the worker could not be started" } } });
  };
  worker.postMessage(job);
}

function finished(job, answer) {
  if (answer.error) {
    row(job.title, "failed");
    show("This file does not run here", answer.error, true);
    return;
  }
  const sorted = answer.latencies ? [...answer.latencies].sort((a, b) => a - b) : [];
  const median = sorted[Math.floor(sorted.length / 2)];
  row(job.title, median ? `${(1000 * median).toPrecision(3)} ms` : "done");
  show("Waiting for the computer");
}

async function power() {
  const battery = await navigator.getBattery?.().catch(() => null);
  return battery ? { battery: !battery.charging, level: battery.level } : {};
}

document.addEventListener("visibilitychange", () => {
  hidden ||= document.hidden;
  if (!document.hidden && running && !running.answer) {
    awake();
  }
});

connect();
