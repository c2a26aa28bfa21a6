#include <algorithm>

#include "answers.hpp"
#include "decode.hpp"
#include "engine.hpp"
#include "preprocess.hpp"

namespace edge_model {
namespace {

// The model's preprocessing. Throws ModelError where it takes no image.
const Preprocess& how() {
    const std::vector<Spec>& inputs = package().inputs;
    if (inputs.size() != 1 || !inputs[0].preprocess) {
        throw ModelError("the model takes no image that is prepared here: give arrays to infer");
    }
    return *inputs[0].preprocess;
}

}  // namespace

Classifier::Classifier(const Options& options) : Classifier(choose(options)) {}

Classifier::Classifier(Chosen chosen) : chosen_(std::move(chosen)) {
    if (!chosen_.wrong.empty()) {
        throw ModelError(package().model + " does not give what was recorded with it: " + chosen_.wrong);
    }
}

Result Classifier::classify(const std::string& path) { return classify(file_bytes(path)); }

Result Classifier::classify(const std::vector<std::uint8_t>& encoded) {
    const Preprocess& steps = how();
    return infer({Array::of(prepare(to_canvas(decode(encoded), steps), steps))});
}

Result Classifier::classify(const Frame& frame) {
    const Preprocess& steps = how();
    const bool whole = frame.pixels != nullptr && frame.height > 0 && frame.width > 0;
    if (!whole || (frame.channels != 1 && frame.channels != 3 && frame.channels != 4)) {
        throw ModelError("frames are uint8, height x width x 1, 3 or 4");
    }
    const auto size = static_cast<std::size_t>(frame.height) * static_cast<std::size_t>(frame.width) *
                      static_cast<std::size_t>(frame.channels);
    const Image image = { {frame.pixels, frame.pixels + size}, frame.width, frame.height, frame.channels};
    return infer({Array::of(prepare(to_canvas(image, steps), steps))});
}

Result Classifier::infer(const std::vector<Array>& inputs) {
    const std::lock_guard<std::mutex> lock(alone_);
    double seconds = 0;
    const Outputs found = run(*chosen_.engine, inputs, seconds);
    return read(found.front(), seconds * 1e3);
}

}  // namespace edge_model
