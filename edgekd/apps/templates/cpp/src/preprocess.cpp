// From an image's pixels to the model's input, to the byte as it was trained and judged (with Pillow): alpha on white,
// gray or RGB, shorter side to `canvas`, central cut; channel order, resize to `size`, (x / 255 - mean) / std, layout.
#include "preprocess.hpp"

#include <algorithm>
#include <cmath>

#include "edge_model/edge_model.hpp"

namespace edge_model {
namespace {

// Longer strips are cut to this ratio first.
constexpr int LONGEST = 8;
// Weights of a resize are whole numbers of so many bits after the point.
constexpr int BITS = 22;
constexpr double PI = 3.14159265358979323846;

std::size_t area(const Image& image) {
    return static_cast<std::size_t>(image.width) * static_cast<std::size_t>(image.height);
}

Image blank(int width, int height, int depth) {
    const auto size = static_cast<std::size_t>(width) * static_cast<std::size_t>(height);
    return {std::vector<std::uint8_t>(size * static_cast<std::size_t>(depth)), width, height, depth};
}

// As Pillow's alpha_composite rounds.
std::uint8_t on_white(int value, int alpha) {
    const int mixed = value * alpha * 128 + 255 * (255 - alpha) * 128 + 0x4000;
    return static_cast<std::uint8_t>(((mixed >> 8) + mixed) >> 15);
}

// RGB or gray: what is transparent shows white.
Image opaque(const Image& image) {
    if (image.depth != 4) {
        return image;
    }
    Image found = blank(image.width, image.height, 3);
    for (std::size_t pixel = 0; pixel < area(image); pixel++) {
        const int alpha = image.data[4 * pixel + 3];
        for (std::size_t channel = 0; channel < 3; channel++) {
            const std::uint8_t value = image.data[4 * pixel + channel];
            found.data[3 * pixel + channel] = alpha == 255 ? value : on_white(value, alpha);
        }
    }
    return found;
}

// Luma of ITU-R 601.
Image gray(const Image& image) {
    if (image.depth == 1) {
        return image;
    }
    Image found = blank(image.width, image.height, 1);
    for (std::size_t pixel = 0; pixel < area(image); pixel++) {
        const std::uint8_t* from = &image.data[3 * pixel];
        const int luma = 19595 * from[0] + 38470 * from[1] + 7471 * from[2] + 0x8000;
        found.data[pixel] = static_cast<std::uint8_t>(luma >> 16);
    }
    return found;
}

// Three channels, red first or last.
Image coloured(const Image& image, bool bgr) {
    Image found = blank(image.width, image.height, 3);
    for (std::size_t pixel = 0; pixel < area(image); pixel++) {
        for (std::size_t channel = 0; channel < 3; channel++) {
            const std::size_t source = bgr ? 2 - channel : channel;
            found.data[3 * pixel + channel] = image.depth == 1 ? image.data[pixel] : image.data[3 * pixel + source];
        }
    }
    return found;
}

double sinc(double x) { return x == 0 ? 1 : std::sin(x * PI) / (x * PI); }

double cubic(double signed_x) {
    const double a = -0.5, x = std::abs(signed_x);
    return x < 1 ? ((a + 2) * x - (a + 3)) * x * x + 1 : x < 2 ? (((x - 5) * x + 8) * x - 4) * a : 0;
}

double reach(const std::string& filter) {
    const std::pair<const char*, double> known[] = {
        {"box", 0.5}, {"bilinear", 1.0}, {"bicubic", 2.0}, {"lanczos", 3.0}};
    for (const auto& [name, value] : known) {
        if (filter == name) {
            return value;
        }
    }
    throw ModelError("there is no resize filter " + filter);
}

double curve(const std::string& filter, double x) {
    if (filter == "box") {
        return x > -0.5 && x <= 0.5 ? 1 : 0;
    }
    if (filter == "bilinear") {
        return std::max(0.0, 1 - std::abs(x));
    }
    return filter == "bicubic" ? cubic(x) : x >= -3 && x < 3 ? sinc(x) * sinc(x / 3) : 0;
}

// For a new pixel where the old ones that it is made of begin, and their weights.
struct Weights {
    std::size_t start;
    std::vector<std::int32_t> own;
};

std::vector<Weights> weights(int from, int to, const std::string& filter) {
    const double scale = static_cast<double>(from) / to, stretch = std::max(1.0, scale), inverse = 1 / stretch;
    const double support = reach(filter) * stretch;
    std::vector<Weights> found;
    for (int i = 0; i < to; i++) {
        const double center = (i + 0.5) * scale;
        const int start = std::max(0, static_cast<int>(center - support + 0.5));
        const int stop = std::min(from, static_cast<int>(center + support + 0.5));
        std::vector<double> shares;
        double sum = 0;
        for (int k = start; k < stop; k++) {
            shares.push_back(curve(filter, (k - center + 0.5) * inverse));
            sum += shares.back();
        }
        Weights one = {static_cast<std::size_t>(start), {}};
        for (const double share : shares) {
            const double whole = (sum == 0 ? share : share / sum) * (1 << BITS);
            one.own.push_back(static_cast<std::int32_t>(whole + (whole < 0 ? -0.5 : 0.5)));
        }
        found.push_back(std::move(one));
    }
    return found;
}

std::uint8_t weighed(const std::uint8_t* data, std::size_t step, const std::vector<std::int32_t>& own) {
    std::int64_t sum = 1 << (BITS - 1);
    for (std::size_t i = 0; i < own.size(); i++) {
        sum += std::int64_t{data[i * step]} * own[i];
    }
    return static_cast<std::uint8_t>(std::clamp<std::int64_t>(sum >> BITS, 0, 255));
}

Image across(const Image& image, int width, const std::string& filter) {
    if (width == image.width) {
        return image;
    }
    Image found = blank(width, image.height, image.depth);
    const auto table = weights(image.width, width, filter);
    const auto depth = static_cast<std::size_t>(image.depth), row = depth * static_cast<std::size_t>(image.width);
    std::size_t to = 0;
    for (std::size_t y = 0; y < static_cast<std::size_t>(image.height); y++) {
        for (const Weights& one : table) {
            for (std::size_t channel = 0; channel < depth; channel++) {
                found.data[to++] = weighed(&image.data[y * row + one.start * depth + channel], depth, one.own);
            }
        }
    }
    return found;
}

Image down(const Image& image, int height, const std::string& filter) {
    if (height == image.height) {
        return image;
    }
    Image found = blank(image.width, height, image.depth);
    const auto row = static_cast<std::size_t>(image.depth) * static_cast<std::size_t>(image.width);
    std::size_t to = 0;
    for (const Weights& one : weights(image.height, height, filter)) {
        for (std::size_t x = 0; x < row; x++) {
            found.data[to++] = weighed(&image.data[one.start * row + x], row, one.own);
        }
    }
    return found;
}

// Two passes with antialiasing, each rounded to bytes; as Pillow since 13, rows go first where many go.
Image resized(const Image& image, int width, int height, const std::string& filter) {
    const int fewer = image.height - height;
    if (fewer > 0 && fewer > 2 * (image.width - width)) {
        return across(down(image, height, filter), width, filter);
    }
    return down(across(image, width, filter), height, filter);
}

// Of an odd rest the smaller half is cut at the left and the top.
Image cut(const Image& image, int width, int height) {
    Image found = blank(width, height, image.depth);
    const int left = (image.width - width) / 2, top = (image.height - height) / 2;
    const auto row = static_cast<std::ptrdiff_t>(width) * image.depth;
    for (int y = 0; y < height; y++) {
        const auto start = (static_cast<std::ptrdiff_t>(top + y) * image.width + left) * image.depth;
        std::copy_n(image.data.begin() + start, row, found.data.begin() + y * row);
    }
    return found;
}

// Halves go to the even number.
int even(double value) { return static_cast<int>(std::nearbyint(value)); }

// The shorter side becomes `canvas`, and the centre is cut.
Image central(const Image& image, int canvas, const std::string& filter) {
    const int side = std::min(image.width, image.height), most = LONGEST * side;
    const bool strip = std::max(image.width, image.height) > most;
    const Image whole = strip ? cut(image, std::min(image.width, most), std::min(image.height, most)) : image;
    const auto scaled = [&](int old) {
        return old == side ? canvas : even(static_cast<double>(static_cast<std::int64_t>(old) * canvas) / side);
    };
    return cut(resized(whole, scaled(whole.width), scaled(whole.height), filter), canvas, canvas);
}

// (x / 255 - mean) / std in float32, in the layout.
std::vector<float> normalized(const Image& image, const Preprocess& how) {
    const std::size_t pixels = area(image), depth = static_cast<std::size_t>(image.depth);
    std::vector<float> found(image.data.size());
    for (std::size_t channel = 0; channel < depth; channel++) {
        const float mean = how.mean[how.mean.size() == 1 ? 0 : channel];
        const float deviation = how.std[how.std.size() == 1 ? 0 : channel];
        for (std::size_t pixel = 0; pixel < pixels; pixel++) {
            const float level = static_cast<float>(image.data[pixel * depth + channel]) / 255.0f;
            const float value = (level - mean) / deviation;
            found[how.layout == "NCHW" ? channel * pixels + pixel : pixel * depth + channel] = value;
        }
    }
    return found;
}

std::uint32_t number(const std::uint8_t* at, int bytes, bool little) {
    std::uint32_t found = 0;
    for (int i = 0; i < bytes; i++) {
        found = found << 8 | at[little ? bytes - 1 - i : i];
    }
    return found;
}

}  // namespace

Image turned(const Image& image, int orientation) {
    if (orientation <= 1 || orientation > 8) {
        return image;
    }
    const bool swapped = orientation > 4;
    const bool flip_x = orientation == 2 || orientation == 3 || orientation == 7 || orientation == 8;
    const bool flip_y = orientation == 3 || orientation == 4 || orientation == 6 || orientation == 7;
    Image found = blank(swapped ? image.height : image.width, swapped ? image.width : image.height, image.depth);
    std::size_t to = 0;
    for (int y = 0; y < found.height; y++) {
        for (int x = 0; x < found.width; x++) {
            const int u = swapped ? y : x, v = swapped ? x : y;
            const int column = flip_x ? image.width - 1 - u : u, row = flip_y ? image.height - 1 - v : v;
            const auto from = (static_cast<std::ptrdiff_t>(row) * image.width + column) * image.depth;
            for (int channel = 0; channel < image.depth; channel++) {
                found.data[to++] = image.data[static_cast<std::size_t>(from + channel)];
            }
        }
    }
    return found;
}

int orientation(const std::uint8_t* exif, std::size_t size) {
    constexpr std::uint32_t TAG = 0x0112, SHORT = 3;
    if (size < 8 || exif[0] != exif[1] || (exif[0] != 'I' && exif[0] != 'M')) {
        return 1;
    }
    const bool little = exif[0] == 'I';
    const std::size_t first = number(exif + 4, 4, little);
    if (first > size || size - first < 2) {
        return 1;
    }
    const std::uint32_t entries = number(exif + first, 2, little);
    for (std::size_t i = 0, at = first + 2; i < entries && size - at >= 12; i++, at += 12) {
        if (number(exif + at, 2, little) == TAG && number(exif + at + 2, 2, little) == SHORT) {
            const auto found = static_cast<int>(number(exif + at + 8, 2, little));
            return found >= 1 && found <= 8 ? found : 1;
        }
    }
    return 1;
}

std::vector<std::uint8_t> to_canvas(const Image& image, const Preprocess& how) {
    const Image flat = opaque(image);
    const bool colour = how.channels != "gray";
    return central(colour ? coloured(flat, false) : gray(flat), how.canvas, how.filter).data;
}

std::vector<float> prepare(const std::vector<std::uint8_t>& canvas, const Preprocess& how) {
    const auto side = static_cast<std::size_t>(how.canvas);
    const Image stored = {canvas, how.canvas, how.canvas, static_cast<int>(canvas.size() / (side * side))};
    const Image ordered = how.channels == "gray" ? gray(stored) : coloured(stored, how.channels == "bgr");
    return normalized(resized(ordered, how.size, how.size, how.filter), how);
}

}  // namespace edge_model
