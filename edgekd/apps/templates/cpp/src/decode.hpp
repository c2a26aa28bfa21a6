#pragma once

#include <cstdint>
#include <vector>

#include "preprocess.hpp"

namespace edge_model {

/// Decode a PNG or JPEG file, and turn it upright as EXIF says. To decode by other means, write this function yourself.
/// Throws ModelError for what is none, and NotBuilt where this was built without the library that reads it.
Image decode(const std::vector<std::uint8_t>& encoded);

}  // namespace edge_model
