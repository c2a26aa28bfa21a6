#pragma once

#include <cstdint>
#include <string>
#include <vector>

namespace edge_model {

/// SHA-256 (FIPS 180-4) in hexadecimal.
std::string sha256(const std::vector<std::uint8_t>& bytes);

}  // namespace edge_model
