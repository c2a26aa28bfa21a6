// The model as one object: samples in, typed answers out. README.md shows how.
#pragma once

#include <cstddef>
#include <cstdint>
#include <functional>
#include <memory>
#include <mutex>
#include <optional>
#include <stdexcept>
#include <string>
#include <type_traits>
#include <utility>
#include <vector>

namespace edge_model {

/// What went wrong, in a sentence.
class ModelError : public std::runtime_error {
public:
    using std::runtime_error::runtime_error;
};

/// A file that cannot be looked at because this program was built without what decodes it.
class NotBuilt : public ModelError {
public:
    using ModelError::ModelError;
};

struct Choice {
    std::string label;
    double probability;
};

/// The most probable class, how sure the model is of it, and the next ones. Where it is not `accepted`, the model is
/// not sure enough: treat it as "I do not know".
struct Answer {
    std::string head;  // of which head; empty where there is one answer
    std::string label;
    int index;
    double confidence;
    bool calibrated;
    bool accepted;
    std::vector<Choice> top;
};

struct Number {
    std::string name;
    double value;
    std::string unit;
};

/// What the model says of a sample: an answer for each head (one, where it has none), or numbers.
struct Result {
    std::vector<Answer> answers;
    std::vector<Number> numbers;
    std::vector<float> outputs;
    double milliseconds;  // of the model's run alone

    /// The one answer, or that of a head. Throws ModelError where there is none.
    const Answer& answer(const std::string& head = "") const;
    /// A number by its name. Throws ModelError where there is none.
    double number(const std::string& name) const;
};

/// Pixels of a camera: rows of uint8, height x width x channels; 1 is gray, 3 is RGB, 4 is RGBA. Not copied.
struct Frame {
    const std::uint8_t* pixels;
    int height;
    int width;
    int channels = 3;
};

/// Element types of tensors, by the names that model.json uses.
template <class T> const char* type_name() {
    if (std::is_same<T, float>::value) return "float32";
    if (std::is_same<T, double>::value) return "float64";
    if (std::is_same<T, bool>::value) return "bool";
    static_assert(std::is_arithmetic<T>::value, "tensors hold numbers");
    static const char* const whole[] = {"int8", "uint8", "int16", "uint16", "int32", "uint32", "int64", "uint64"};
    const int power = sizeof(T) == 1 ? 0 : sizeof(T) == 2 ? 1 : sizeof(T) == 4 ? 2 : 3;
    return whole[2 * power + (std::is_unsigned<T>::value ? 1 : 0)];
}

/// The numbers of one sample for one input, or of one output, in C order.
struct Array {
    std::string dtype;
    std::vector<std::int64_t> shape;  // of one sample, without the batch; empty: that of the signature
    std::vector<std::uint8_t> bytes;

    template <class T> static Array of(const std::vector<T>& values, std::vector<std::int64_t> shape = {}) {
        static_assert(!std::is_same<T, bool>::value, "give flags as uint8_t");
        const auto* from = reinterpret_cast<const std::uint8_t*>(values.data());
        return Array{type_name<T>(), std::move(shape), {from, from + values.size() * sizeof(T)}};
    }
};

/// Something that runs the model: one sample in, its outputs out, both as the file has them.
class Engine {
public:
    virtual ~Engine() = default;
    virtual std::vector<Array> run(const std::vector<Array>& inputs) = 0;
};

/// Something that may run the model instead of the CPU. `open` throws where it cannot.
struct Candidate {
    std::string name;
    std::function<std::unique_ptr<Engine>(const std::string& file, int threads)> open;
};

/// A candidate that was tried, and why it was not kept.
struct Tried {
    std::string name;
    bool kept;
    std::string why;
    std::optional<double> seconds;
};

struct Options {
    /// The folder model/; empty: where it was when this was built.
    std::string folder;
    /// Threads of the CPU.
    int threads = 1;
    /// Tried in this order. One is kept if it gives what was recorded and is faster than the CPU.
    std::vector<Candidate> accelerators;
};

/// Candidates for an execution provider of ONNX Runtime by its name, or "auto" for all that it has. Throws ModelError.
std::vector<Candidate> accelerators(const std::string& name);

/// What runs the model, and what else was tried; `wrong` says why the CPU's outputs are not those recorded.
struct Chosen {
    std::string used;
    std::unique_ptr<Engine> engine;
    int threads;
    double load;
    double first;
    std::string wrong;
    std::vector<Tried> tried;
};

/// A loaded model. Calls from several threads take turns.
class Classifier {
public:
    /// Load the model and hold it against what was recorded with it. Throws ModelError where it gives something else.
    explicit Classifier(const Options& options = {});

    /// Answer to an image file (PNG, JPEG), to the bytes of one, to a frame. Throws ModelError for what is none.
    Result classify(const std::string& path);
    Result classify(const std::vector<std::uint8_t>& encoded);
    Result classify(const Frame& frame);
    /// Answer to one sample that is prepared already: an array for each input, in their order.
    Result infer(const std::vector<Array>& inputs);

    const std::string& used() const { return chosen_.used; }
    const std::vector<Tried>& tried() const { return chosen_.tried; }

private:
    friend class SelfTest;
    explicit Classifier(Chosen chosen);
    Chosen chosen_;
    std::mutex alone_;
};

/// A check of the self-test; without `passed` it could not be made here.
struct Check {
    std::string what;
    std::optional<bool> passed;
    std::string why;
};

struct Tested {
    bool passed;
    std::vector<Check> checks;
    std::vector<Tried> tried;
    std::string used;
    std::optional<double> median;  // seconds of a run
    std::string emulated;          // the program that runs programs here in a processor's place
    std::string json;              // what selftest.json holds
};

/// Does this model, here, through this very code, still answer as was recorded? Then how fast it is: `number` times
/// for a minute, else 50 runs. Throws nothing that a check can tell.
Tested self_test(const Options& options = {}, bool number = false);

}  // namespace edge_model
