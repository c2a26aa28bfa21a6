// Orientation of WebP files by EXIF, which some browsers leave to the page; of JPEG and PNG all turn it themselves.

// 2 x 1 pixels that are to be turned by 90 degrees.
const PROBE = "UklGRlIAAABXRUJQVlA4WAoAAAAIAAAAAQAAAAAAVlA4TBEAAAAvAQAAAAfQhCY0of+BiOh/AABFWElGGgAAAE1NACoAAAAIAAEBEgADAAAAAQAGAAAAAAAA";
const TAG = 0x0112;
let turns = null;

/** The EXIF orientation that is left to turn of an encoded file: 1 for none. */
export async function left(blob, way) {
    const view = new DataView(await blob.arrayBuffer());
    const kind = (at) => (at + 4 <= view.byteLength ? String.fromCharCode(...new Uint8Array(view.buffer, at, 4)) : "");
    if (kind(0) !== "RIFF" || kind(8) !== "WEBP") {
        return 1;
    }
    for (let at = 12; at + 8 <= view.byteLength; at += 8 + view.getUint32(at + 4, true) + (view.getUint32(at + 4, true) & 1)) {
        if (kind(at) === "EXIF") {
            const start = at + 8 + (kind(at + 8) === "Exif" ? 6 : 0), found = tagged(view, start);
            return found === 1 || await browserTurns(way) ? 1 : found;
        }
    }
    return 1;
}

function tagged(view, start) {
    try {
        const little = view.getUint16(start) === 0x4949, first = start + view.getUint32(start + 4, little);
        for (let i = 0; i < view.getUint16(first, little); i++) {
            const entry = first + 2 + 12 * i;
            if (view.getUint16(entry, little) === TAG) {
                const found = view.getUint16(entry + 8, little);
                return found >= 1 && found <= 8 ? found : 1;
            }
        }
    } catch {
        return 1; // cut or garbled: as if there were none
    }
    return 1;
}

function browserTurns(way) {
    turns ??= (async () => {
        const bytes = Uint8Array.from(atob(PROBE), (letter) => letter.charCodeAt(0));
        const bitmap = await createImageBitmap(new Blob([bytes]), way);
        return bitmap.width < bitmap.height;
    })();
    return turns;
}

/** RGBA pixels turned and mirrored as an orientation says. */
export function turned({ data, width, height }, orientation) {
    if (orientation === 1) {
        return { data, width, height };
    }
    const across = orientation > 4, wide = across ? height : width, high = across ? width : height;
    const flipX = [2, 3, 7, 8].includes(orientation), flipY = [3, 4, 6, 7].includes(orientation);
    const from = new Uint32Array(data.buffer), found = new Uint32Array(width * height);
    for (let y = 0; y < high; y++) {
        for (let x = 0; x < wide; x++) {
            const [u, v] = across ? [y, x] : [x, y];
            found[y * wide + x] = from[(flipY ? height - 1 - v : v) * width + (flipX ? width - 1 - u : u)];
        }
    }
    return { data: new Uint8ClampedArray(found.buffer), width: wide, height: high };
}
