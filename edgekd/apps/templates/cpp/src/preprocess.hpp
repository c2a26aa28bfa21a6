#pragma once

#include <cstddef>
#include <cstdint>
#include <string>
#include <vector>

#include "package.hpp"

namespace edge_model {

/// Pixels, rows of bytes; depth 1 is gray, 3 is RGB, 4 is RGBA that is not premultiplied.
struct Image {
    std::vector<std::uint8_t> data;
    int width, height, depth;
};

/// Pixels turned and mirrored as an EXIF orientation says, 1 to 8.
Image turned(const Image& image, int orientation);

/// The orientation in the TIFF block of EXIF; 1 where it says none, or is garbled.
int orientation(const std::uint8_t* exif, std::size_t size);

/// Upright pixels as the canvas: bytes (canvas, canvas, 1 for gray or 3 for RGB).
std::vector<std::uint8_t> to_canvas(const Image& image, const Preprocess& how);

/// A canvas as the model's input.
std::vector<float> prepare(const std::vector<std::uint8_t>& canvas, const Preprocess& how);

}  // namespace edge_model
