// From the model's outputs to an answer: the class, how sure the model is, and whether that is enough.

const TOP = 5;

/** What the first output says, as index.d.ts types it. */
export function answer(outputs, signature) {
    const { classes, columns, heads, confidence } = signature;
    if (columns.length) {
        return { values: Object.fromEntries(columns.map(({ name, unit }, i) => [name, { value: outputs[i], unit }])) };
    }
    if (heads.length) {
        const each = heads.map((head, i) => {
            const own = outputs.subarray(head.start, head.start + head.classes.length);
            return [head.name, sorted(own, head.classes, confidence[i])];
        });
        return { heads: Object.fromEntries(each) };
    }
    return classes.length ? sorted(outputs, classes, confidence[0]) : {};
}

function sorted(outputs, classes, told) {
    const shares = probabilities(outputs, told?.temperature ?? 1);
    const order = Array.from(shares.keys()).sort((a, b) => shares[b] - shares[a] || a - b);
    const index = order[0], confidence = shares[index], threshold = told?.threshold ?? null;
    return {
        label: classes[index],
        index,
        confidence,
        calibrated: told !== undefined,
        accepted: threshold === null || confidence >= threshold,
        top: order.slice(0, TOP).map((i) => ({ label: classes[i], probability: shares[i] })),
    };
}

/** Softmax of outputs, divided by the temperature that was fitted for them. */
export function probabilities(outputs, temperature) {
    const scaled = Array.from(outputs, (value) => value / temperature), largest = Math.max(...scaled);
    const powers = scaled.map((value) => Math.exp(value - largest));
    const sum = powers.reduce((total, power) => total + power, 0);
    return powers.map((power) => power / sum);
}

/** Label and probability of an answer, or of each of its heads. */
export function told(result) {
    const parts = result.heads ? Object.values(result.heads) : [result];
    return { labels: parts.map((one) => one.label), probabilities: parts.map((one) => one.confidence) };
}
