// How long the model's run takes: prepared input in, outputs out. All times are seconds.

// A window of the warm-up has so many runs and milliseconds; it ends when two windows in a row agree by AGREE.
const WINDOW_RUNS = 16, WINDOW = 40, AGREE = 0.05, LONGEST = 5000;
// A timed value lasts so many steps of the clock at least, so that a step is 2 % of it.
const STEPS = 50;
// What a protocol asks for: values at least, and milliseconds; and the most values that are kept.
const PROTOCOLS = { look: [50, 0], number: [1024, 60000] }, MOST = 5000;

/** Time `run`: each of `seconds` is the mean of `means` runs in a row. */
export async function latency(run, protocol, progress) {
    if (!(protocol in PROTOCOLS)) {
        throw new Error(`there is no protocol "${protocol}"; choose from: ${Object.keys(PROTOCOLS).join(", ")}`);
    }
    const [least, lasting] = PROTOCOLS[protocol];
    progress(0, "warming up");
    const [typical, warmup] = await warmUp(run);
    const started = performance.now();
    let means = Math.max(1, Math.ceil(STEPS * resolution() / typical)), seconds = [], said = started;
    while (seconds.length < least || performance.now() - started < lasting) {
        if (seconds.length === MOST) {
            [seconds, means] = [paired(seconds), 2 * means];
        }
        seconds.push(await timed(run, means) / means / 1000);
        if (performance.now() - said > 200) {
            said = performance.now();
            const shares = [seconds.length / least, lasting ? (said - started) / lasting : 1];
            progress(Math.min(1, ...shares), "timing");
            await new Promise((resolve) => { setTimeout(resolve); });
        }
    }
    return { protocol, seconds, means, warmup };
}

// Means of twice as many runs in a row.
function paired(seconds) {
    return Array.from({ length: seconds.length / 2 }, (_, i) => (seconds[2 * i] + seconds[2 * i + 1]) / 2);
}

async function timed(run, runs) {
    const started = performance.now();
    for (let i = 0; i < runs; i++) {
        await run();
    }
    return performance.now() - started;
}

async function warmUp(run) {
    const started = performance.now();
    let runs = 0, last = Infinity;
    for (;;) {
        const opened = performance.now();
        let window = 0;
        while (window < WINDOW_RUNS || performance.now() - opened < WINDOW) {
            await run();
            window++;
        }
        const mean = Math.max((performance.now() - opened) / window, 1e-4);
        runs += window;
        if (Math.abs(mean - last) <= AGREE * mean || performance.now() - started > LONGEST) {
            return [mean, runs];
        }
        last = mean;
    }
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
