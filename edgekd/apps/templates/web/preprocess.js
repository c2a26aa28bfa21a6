// From an image's pixels to the model's input, to the byte as edgekd trained and judged it (with Pillow):
// alpha on white, gray or RGB, shorter side to `canvas`, central cut; channel order, resize to `size`,
// (x / 255 - mean) / std, layout. `how` is signature.inputs[0].preprocess of model/model.json.

// Longer strips are cut to this ratio first.
const LONGEST = 8;
// Weights of a resize are whole numbers of so many bits after the point.
const BITS = 22;
const FILTERS = {
    box: [0.5, (x) => (x > -0.5 && x <= 0.5 ? 1 : 0)],
    bilinear: [1, (x) => Math.max(0, 1 - Math.abs(x))],
    bicubic: [2, cubic],
    lanczos: [3, (x) => (x >= -3 && x < 3 ? sinc(x) * sinc(x / 3) : 0)],
};

function cubic(signed) {
    const a = -0.5, x = Math.abs(signed);
    return x < 1 ? ((a + 2) * x - (a + 3)) * x * x + 1 : x < 2 ? (((x - 5) * x + 8) * x - 4) * a : 0;
}

function sinc(x) {
    return x === 0 ? 1 : Math.sin(x * Math.PI) / (x * Math.PI);
}

/** Decoded pixels, RGBA that is not premultiplied, as the canvas: bytes (canvas, canvas, 1 for gray or 3 for RGB). */
export function toCanvas(pixels, how) {
    const flat = how.channels === "gray" ? gray(opaque(pixels)) : opaque(pixels);
    return central(flat, how.canvas, how.filter).data;
}

/** A canvas as the model's input: Float32Array in the layout that the model takes. */
export function prepare(canvas, how) {
    const stored = { data: canvas, width: how.canvas, height: how.canvas, depth: canvas.length / how.canvas ** 2 };
    return normalize(resize(ordered(stored, how.channels), how.size, how.size, how.filter), how);
}

/** RGB of RGBA: what is transparent shows white. */
export function opaque({ data, width, height }) {
    const rgb = new Uint8Array(3 * width * height);
    for (let from = 0, to = 0; from < data.length; from += 4, to += 3) {
        const alpha = data[from + 3];
        for (let channel = 0; channel < 3; channel++) {
            rgb[to + channel] = alpha === 255 ? data[from + channel] : onWhite(data[from + channel], alpha);
        }
    }
    return { data: rgb, width, height, depth: 3 };
}

// As Pillow's alpha_composite rounds.
function onWhite(value, alpha) {
    const mixed = value * alpha * 128 + 255 * (255 - alpha) * 128 + 0x4000;
    return ((mixed >> 8) + mixed) >> 15;
}

// Luma of ITU-R 601.
function gray({ data, width, height }) {
    const luma = new Uint8Array(width * height);
    for (let to = 0, from = 0; to < luma.length; to++, from += 3) {
        luma[to] = (19595 * data[from] + 38470 * data[from + 1] + 7471 * data[from + 2] + 0x8000) >> 16;
    }
    return { data: luma, width, height, depth: 1 };
}

/** Channels in the model's order. */
export function ordered(image, channels) {
    if (channels === "gray") {
        return image.depth === 1 ? image : gray(image);
    }
    const { data, width, height, depth } = image, order = channels === "bgr" ? [2, 1, 0] : [0, 1, 2];
    const found = new Uint8Array(3 * width * height);
    for (let to = 0, from = 0; to < found.length; to += 3, from += depth) {
        order.forEach((source, channel) => { found[to + channel] = data[from + (depth === 1 ? 0 : source)]; });
    }
    return { data: found, width, height, depth: 3 };
}

/** The shorter side becomes `canvas`, and the centre is cut. */
export function central(image, canvas, filter) {
    const short = Math.min(image.width, image.height);
    const cutFirst = Math.max(image.width, image.height) > LONGEST * short;
    const least = (side) => Math.min(side, LONGEST * short);
    const whole = cutFirst ? cut(image, least(image.width), least(image.height)) : image;
    const [width, height] = [whole.width, whole.height].map(
        (side) => (side === short ? canvas : even((side * canvas) / short)));
    return cut(resize(whole, width, height, filter), canvas, canvas);
}

// Rounded as Python does: halves to the even number.
function even(value) {
    const down = Math.floor(value);
    return value - down === 0.5 ? down + (down % 2) : Math.round(value);
}

// Of an odd rest the smaller half is cut at the left and the top.
function cut({ data, width, height, depth }, wide, high) {
    const left = Math.floor((width - wide) / 2), top = Math.floor((height - high) / 2);
    const found = new Uint8Array(wide * high * depth);
    for (let y = 0; y < high; y++) {
        const start = ((top + y) * width + left) * depth;
        found.set(data.subarray(start, start + wide * depth), y * wide * depth);
    }
    return { data: found, width: wide, height: high, depth };
}

/** Resize with antialiasing in two passes, each rounded to bytes; as Pillow since 13, rows go first where many go. */
export function resize(image, width, height, filter) {
    const columns = (one) => (width === one.width ? one : across(one, width, filter));
    const rows = (one) => (height === one.height ? one : down(one, height, filter));
    const fewer = image.height - height;
    return fewer > 0 && fewer > 2 * (image.width - width) ? columns(rows(image)) : rows(columns(image));
}

function across({ data, width, height, depth }, wide, filter) {
    const found = new Uint8ClampedArray(wide * height * depth), table = weights(width, wide, filter);
    for (let y = 0, to = 0; y < height; y++) {
        for (const { start, own } of table) {
            const from = (y * width + start) * depth;
            for (let channel = 0; channel < depth; channel++) {
                found[to++] = weighed(data, from + channel, depth, own);
            }
        }
    }
    return { data: found, width: wide, height, depth };
}

function down({ data, width, height, depth }, high, filter) {
    const found = new Uint8ClampedArray(width * high * depth), row = width * depth;
    weights(height, high, filter).forEach(({ start, own }, y) => {
        for (let x = 0; x < row; x++) {
            found[y * row + x] = weighed(data, start * row + x, row, own);
        }
    });
    return { data: found, width, height: high, depth };
}

function weighed(data, from, step, own) {
    let sum = 1 << (BITS - 1);
    for (let i = 0, at = from; i < own.length; i++, at += step) {
        sum = (sum + Math.imul(data[at], own[i])) | 0;
    }
    return sum >> BITS;
}

// For each new pixel where the old ones that it is made of begin, and their weights.
function weights(from, to, filter) {
    if (!(filter in FILTERS)) {
        throw new Error(`there is no resize filter "${filter}"; choose from: ${Object.keys(FILTERS).join(", ")}`);
    }
    const [reach, curve] = FILTERS[filter];
    const scale = from / to, stretch = Math.max(1, scale), support = reach * stretch;
    return Array.from({ length: to }, (_, i) => {
        const center = (i + 0.5) * scale, inverse = 1 / stretch;
        const start = Math.max(0, Math.trunc(center - support + 0.5));
        const stop = Math.min(from, Math.trunc(center + support + 0.5));
        const shares = Array.from({ length: stop - start }, (_, k) => curve((k + start - center + 0.5) * inverse));
        const sum = shares.reduce((total, share) => total + share, 0);
        const whole = shares.map((share) => (sum === 0 ? share : share / sum) * 2 ** BITS);
        return { start, own: Int32Array.from(whole, (one) => Math.trunc(one + (one < 0 ? -0.5 : 0.5))) };
    });
}

/** (x / 255 - mean) / std in float32, in the layout. */
export function normalize({ data, width, height, depth }, { mean, std, layout }) {
    const found = new Float32Array(data.length), area = width * height, round = Math.fround;
    const stretched = (values) => Float32Array.from({ length: depth }, (_, i) => values[values.length === 1 ? 0 : i]);
    const means = stretched(mean), stds = stretched(std);
    for (let pixel = 0; pixel < area; pixel++) {
        for (let channel = 0; channel < depth; channel++) {
            const value = round(round(data[pixel * depth + channel] / 255) - means[channel]) / stds[channel];
            found[layout === "NCHW" ? channel * area + pixel : pixel * depth + channel] = value;
        }
    }
    return found;
}
