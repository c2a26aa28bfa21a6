#include "engine.hpp"

#include <algorithm>
#include <chrono>
#include <cmath>
#include <cstdio>
#include <cstring>
#include <fstream>
#include <iterator>
#include <limits>

namespace edge_model {
namespace {

// Runs by whose median an accelerator has to be faster than the CPU.
constexpr std::size_t RUNS = 20;
constexpr std::size_t LONGEST_REASON = 200;

using Clock = std::chrono::steady_clock;

double since(Clock::time_point start) { return std::chrono::duration<double>(Clock::now() - start).count(); }

std::size_t count_of(const std::vector<std::int64_t>& shape) {
    std::size_t count = 1;
    for (const std::int64_t size : shape) {
        count *= static_cast<std::size_t>(size);
    }
    return count;
}

std::size_t width_of(const std::string& dtype) {
    if (dtype == "float64" || dtype == "int64" || dtype == "uint64") {
        return 8;
    }
    if (dtype == "float32" || dtype == "int32" || dtype == "uint32") {
        return 4;
    }
    return dtype == "int16" || dtype == "uint16" ? 2 : 1;
}

template <class T> void widen(const std::vector<std::uint8_t>& bytes, std::vector<float>& found) {
    for (std::size_t at = 0; at + sizeof(T) <= bytes.size(); at += sizeof(T)) {
        T value;
        std::memcpy(&value, &bytes[at], sizeof(T));
        found.push_back(static_cast<float>(value));
    }
}

template <class T> Array levels(const std::vector<float>& values, const Spec& spec) {
    std::vector<T> found;
    for (const float value : values) {
        const double level = std::nearbyint(value / *spec.scale) + spec.zero_point;
        const double least = std::numeric_limits<T>::min(), most = std::numeric_limits<T>::max();
        found.push_back(static_cast<T>(std::min(most, std::max(least, level))));
    }
    return Array::of(found);
}

Array quantized(const Array& array, const Spec& spec) {
    const std::vector<float> values = floats(array);
    return spec.dtype == "int8"    ? levels<std::int8_t>(values, spec)
           : spec.dtype == "uint8" ? levels<std::uint8_t>(values, spec)
                                   : levels<std::int16_t>(values, spec);
}

// The largest difference of an engine's outputs from the recorded ones, one sample at a time, so that an answer of the
// run before is noticed.
double difference(Engine& engine, const std::vector<std::vector<Array>>& inputs, const std::vector<Outputs>& wanted) {
    double largest = 0, seconds = 0;
    for (std::size_t i = 0; i < wanted.size(); i++) {
        const Outputs found = run(engine, inputs[i], seconds);
        for (std::size_t k = 0; k < wanted[i].size(); k++) {
            largest = std::max(largest, apart(found[k], wanted[i][k]));
        }
    }
    return largest;
}

double median(Engine& engine, const std::vector<std::vector<Array>>& inputs) {
    std::vector<double> found;
    for (std::size_t i = 0; i < RUNS; i++) {
        found.push_back(timed(engine, encoded(inputs[i % inputs.size()])));
    }
    std::sort(found.begin(), found.end());
    return (found[RUNS / 2 - 1] + found[RUNS / 2]) / 2;
}

struct Opened {
    std::unique_ptr<Engine> engine;
    double load, first;
};

Opened opened(const Candidate& one, const std::string& file, int threads, const std::vector<Array>& sample) {
    const auto start = Clock::now();
    Opened found = {one.open(file, threads), 0, 0};
    if (!found.engine) {
        throw ModelError("it gives no engine");
    }
    found.load = since(start);
    run(*found.engine, sample, found.first);
    return found;
}

std::string one_line(std::string text) {
    std::replace_if(text.begin(), text.end(), [](unsigned char letter) { return letter < 32; }, ' ');
    return text.substr(0, LONGEST_REASON);
}

}  // namespace

std::string folder_of(const Options& options) {
    const std::string folder = options.folder.empty() ? EDGE_MODEL_FOLDER : options.folder;
    return folder.back() == '/' ? folder : folder + "/";
}

std::vector<std::uint8_t> file_bytes(const std::string& path) {
    std::ifstream file(path, std::ios::binary);
    if (!file) {
        throw ModelError(path + " cannot be read");
    }
    std::vector<std::uint8_t> bytes{std::istreambuf_iterator<char>(file), std::istreambuf_iterator<char>()};
    if (file.bad()) {
        throw ModelError(path + " cannot be read");
    }
    return bytes;
}

std::vector<Array> recorded(const std::string& folder, const Recorded& one) {
    const std::vector<std::uint8_t> bytes = file_bytes(folder + "golden/" + one.file);
    const std::size_t size = count_of(one.shape) * width_of(one.dtype);
    const auto count = static_cast<std::size_t>(package().count);
    if (bytes.size() != count * size) {
        throw ModelError(one.file + " has " + std::to_string(bytes.size()) + " bytes, not " +
                         std::to_string(count * size));
    }
    std::vector<Array> found;
    for (std::size_t i = 0; i < count; i++) {
        found.push_back({one.dtype, one.shape, {bytes.data() + i * size, bytes.data() + (i + 1) * size}});
    }
    return found;
}

std::vector<std::vector<Array>> goldens(const std::string& folder, const std::vector<Recorded>& tensors) {
    std::vector<std::vector<Array>> found(static_cast<std::size_t>(package().count));
    for (const Recorded& one : tensors) {
        std::vector<Array> samples = recorded(folder, one);
        for (std::size_t i = 0; i < found.size(); i++) {
            found[i].push_back(std::move(samples[i]));
        }
    }
    return found;
}

std::vector<float> floats(const Array& array) {
    std::vector<float> found;
    const std::string& type = array.dtype;
    if (type == "float32") {
        widen<float>(array.bytes, found);
    } else if (type == "float64") {
        widen<double>(array.bytes, found);
    } else if (type == "int8") {
        widen<std::int8_t>(array.bytes, found);
    } else if (type == "int16") {
        widen<std::int16_t>(array.bytes, found);
    } else if (type == "uint16") {
        widen<std::uint16_t>(array.bytes, found);
    } else if (type == "int32") {
        widen<std::int32_t>(array.bytes, found);
    } else if (type == "int64") {
        widen<std::int64_t>(array.bytes, found);
    } else if (type == "uint8" || type == "bool") {
        widen<std::uint8_t>(array.bytes, found);
    } else {
        throw ModelError("numbers of the type " + type + " are not read");
    }
    return found;
}

std::vector<Array> encoded(const std::vector<Array>& inputs) {
    const std::vector<Spec>& specs = package().inputs;
    if (inputs.size() != specs.size()) {
        throw ModelError("the model takes " + std::to_string(specs.size()) + " inputs, not " +
                         std::to_string(inputs.size()));
    }
    std::vector<Array> found;
    for (std::size_t i = 0; i < specs.size(); i++) {
        const Spec& spec = specs[i];
        const std::vector<std::int64_t> shape = inputs[i].shape.empty() ? spec.shape : inputs[i].shape;
        bool fits = shape.size() == spec.shape.size();
        for (std::size_t k = 0; fits && k < shape.size(); k++) {
            fits = shape[k] > 0 && (spec.shape[k] == -1 || spec.shape[k] == shape[k]);
        }
        if (!fits || inputs[i].bytes.size() != count_of(shape) * width_of(inputs[i].dtype)) {
            throw ModelError("the input " + spec.name + " has another shape than the model takes");
        }
        const bool whole = spec.scale && !spec.raw && inputs[i].dtype == "float32";
        Array one = whole ? quantized(inputs[i], spec) : inputs[i];
        if (one.dtype != spec.dtype) {
            throw ModelError("the input " + spec.name + " is " + spec.dtype + ", not " + one.dtype);
        }
        one.shape = shape;
        found.push_back(std::move(one));
    }
    return found;
}

Outputs decoded(const std::vector<Array>& outputs) {
    const std::vector<Spec>& specs = package().outputs;
    if (outputs.size() != specs.size()) {
        throw ModelError("the model gave " + std::to_string(outputs.size()) + " outputs, not " +
                         std::to_string(specs.size()));
    }
    Outputs found;
    for (std::size_t i = 0; i < specs.size(); i++) {
        found.push_back(floats(outputs[i]));
        for (float& value : found.back()) {
            value = specs[i].scale ? (value - static_cast<float>(specs[i].zero_point)) * *specs[i].scale : value;
        }
    }
    return found;
}

Outputs run(Engine& engine, const std::vector<Array>& inputs, double& seconds) {
    const std::vector<Array> fed = encoded(inputs);
    const auto start = Clock::now();
    const std::vector<Array> found = engine.run(fed);
    seconds = since(start);
    return decoded(found);
}

double timed(Engine& engine, const std::vector<Array>& inputs) {
    const auto start = Clock::now();
    engine.run(inputs);
    return since(start);
}

double apart(const std::vector<float>& found, const std::vector<float>& wanted) {
    const double infinite = std::numeric_limits<double>::infinity();
    double largest = found.size() == wanted.size() ? 0 : infinite;
    for (std::size_t i = 0; i < std::min(found.size(), wanted.size()); i++) {
        const double gap = std::abs(static_cast<double>(found[i]) - static_cast<double>(wanted[i]));
        largest = std::isfinite(gap) ? std::max(largest, gap) : infinite;
    }
    return largest;
}

std::string shown(double value) {
    char text[32];
    std::snprintf(text, sizeof text, "%.3g", value);
    return text;
}

std::string amiss(double gap, double tolerance) {
    if (gap <= tolerance) {
        return "";
    }
    const std::string told =
        std::isfinite(gap) ? "outputs differ by " + shown(gap) : "outputs are no finite numbers, or too few";
    return told + ", " + shown(tolerance) + " is allowed";
}

Chosen choose(const Options& options) {
    const Package& model = package();
    const std::string folder = folder_of(options), file = folder + model.model;
    const auto inputs = goldens(folder, model.golden_inputs);
    const int threads = std::max(1, options.threads);
    Opened cpu = opened({"cpu", open_cpu}, file, threads, inputs.front());
    std::vector<Outputs> wanted;
    double seconds = 0;
    for (std::size_t i = 0; i < inputs.size() && !model.missing.empty(); i++) {
        wanted.push_back(run(*cpu.engine, inputs[i], seconds));
    }
    if (model.missing.empty()) {
        for (const std::vector<Array>& arrays : goldens(folder, model.golden_outputs)) {
            wanted.emplace_back();
            for (const Array& one : arrays) {
                wanted.back().push_back(floats(one));
            }
        }
    }
    const std::string wrong = amiss(difference(*cpu.engine, inputs, wanted), model.tolerance);
    const double slowest = options.accelerators.empty() ? 0 : median(*cpu.engine, inputs);
    std::vector<Tried> tried;
    for (const Candidate& one : options.accelerators) {
        Tried told = {one.name, false, "", {}};
        try {
            Opened other = opened(one, file, threads, inputs.front());
            told.why = amiss(difference(*other.engine, inputs, wanted), model.tolerance);
            if (told.why.empty()) {
                told.seconds = median(*other.engine, inputs);
                told.kept = *told.seconds < slowest;
                const std::string theirs = shown(*told.seconds * 1e3), ours = shown(slowest * 1e3);
                told.why = told.kept ? "" : "it takes " + theirs + " ms a run, the CPU " + ours + " ms";
            }
            tried.push_back(told);
            if (told.kept) {
                return {one.name, std::move(other.engine), threads, other.load, other.first, "", tried};
            }
        } catch (const std::exception& error) {  // whatever a driver throws, the CPU still works
            told.why = one_line(std::string("it failed: ") + error.what());
            tried.push_back(told);
        } catch (...) {
            told.why = "it failed, and does not say why";
            tried.push_back(told);
        }
    }
    return {"cpu", std::move(cpu.engine), threads, cpu.load, cpu.first, wrong, tried};
}

}  // namespace edge_model
