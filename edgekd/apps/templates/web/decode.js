// From whatever a browser shows to pixels: RGBA, upright, not premultiplied, colours as stored.

import { left, turned } from "./orient.js";

const WAY = { imageOrientation: "from-image", premultiplyAlpha: "none", colorSpaceConversion: "none" };
// Pixels that are read at once: browsers of phones give no large canvases.
const STRIP = 1 << 22;

/** Decode encoded bytes (Blob, File, ArrayBuffer, array), or take the pixels of an image, video, canvas or bitmap. */
export async function pixelsOf(image) {
    if (typeof ImageData !== "undefined" && image instanceof ImageData) {
        return image;
    }
    if (image instanceof ImageBitmap) {
        return read(image);
    }
    if (image instanceof Blob || image instanceof ArrayBuffer || ArrayBuffer.isView(image)) {
        return decoded(image instanceof Blob ? image : new Blob([image]));
    }
    await image?.decode?.();
    return freed(await createImageBitmap(image, WAY));
}

async function decoded(blob) {
    if (!blob.size) {
        throw new Error("an image of no bytes");
    }
    const bitmap = await createImageBitmap(blob, WAY).catch((error) => {
        throw new Error(`not an image that this browser reads (${error.message})`);
    });
    return turned(freed(bitmap), await left(blob, WAY));
}

function freed(bitmap) {
    try {
        return read(bitmap);
    } finally {
        bitmap.close();
    }
}

function surface(width, height) {
    if (typeof OffscreenCanvas !== "undefined") {
        return new OffscreenCanvas(width, height);
    }
    return Object.assign(document.createElement("canvas"), { width, height });
}

// A 2D canvas premultiplies: under alpha its colours are rounded, which moves what shows on white by one level at most.
// WebGL gives them as they are stored; where there is none, or the image is too large for it, that level is lost.
function read(bitmap) {
    const { width, height } = bitmap, data = new Uint8ClampedArray(4 * width * height);
    const rows = Math.min(height, Math.max(1, Math.floor(STRIP / width)));
    const context = surface(width, rows).getContext("2d", { willReadFrequently: true, colorSpace: "srgb" });
    for (let top = 0; top < height; top += rows) {
        const some = Math.min(rows, height - top);
        context.clearRect(0, 0, width, rows);
        context.drawImage(bitmap, 0, -top);
        data.set(context.getImageData(0, 0, width, some).data, 4 * width * top);
    }
    const stored = clear(data) ? unmixed(bitmap) : null;
    return { data: stored ?? data, width, height };
}

function clear(data) {
    for (let i = 3; i < data.length; i += 4) {
        if (data[i] !== 255) {
            return true;
        }
    }
    return false;
}

function unmixed(bitmap) {
    const { width, height } = bitmap, gl = surface(1, 1).getContext("webgl");
    if (!gl || Math.max(width, height) > gl.getParameter(gl.MAX_TEXTURE_SIZE)) {
        return null;
    }
    gl.pixelStorei(gl.UNPACK_PREMULTIPLY_ALPHA_WEBGL, false);
    gl.pixelStorei(gl.UNPACK_COLORSPACE_CONVERSION_WEBGL, gl.NONE);
    gl.bindTexture(gl.TEXTURE_2D, gl.createTexture());
    gl.texImage2D(gl.TEXTURE_2D, 0, gl.RGBA, gl.RGBA, gl.UNSIGNED_BYTE, bitmap);
    gl.bindFramebuffer(gl.FRAMEBUFFER, gl.createFramebuffer());
    gl.framebufferTexture2D(gl.FRAMEBUFFER, gl.COLOR_ATTACHMENT0, gl.TEXTURE_2D, gl.getParameter(gl.TEXTURE_BINDING_2D), 0);
    const data = new Uint8Array(4 * width * height);
    const whole = gl.checkFramebufferStatus(gl.FRAMEBUFFER) === gl.FRAMEBUFFER_COMPLETE;
    if (whole) {
        gl.readPixels(0, 0, width, height, gl.RGBA, gl.UNSIGNED_BYTE, data);
    }
    const failed = !whole || gl.getError() !== gl.NO_ERROR;
    gl.getExtension("WEBGL_lose_context")?.loseContext();
    return failed ? null : data;
}
