#pragma once

#include <vector>

#include "edge_model/edge_model.hpp"
#include "package.hpp"

namespace edge_model {

/// What the first output of a sample says: an answer for each head, or numbers.
Result read(const std::vector<float>& outputs, double milliseconds);

}  // namespace edge_model
