// The model in its runtime: on the CPU, or on an accelerator that was seen to give the same and to be faster.
#pragma once

#include <memory>
#include <string>
#include <vector>

#include "edge_model/edge_model.hpp"
#include "package.hpp"

namespace edge_model {

using Outputs = std::vector<std::vector<float>>;

/// The CPU's engine, written for the runtime of the model's format.
std::unique_ptr<Engine> open_cpu(const std::string& file, int threads);
std::string runtime_version();

/// Bytes of a file in the folder model/. Throws ModelError.
std::vector<std::uint8_t> file_bytes(const std::string& path);
/// The folder model/ that the options name, with a slash at its end.
std::string folder_of(const Options& options);

/// The samples of a recorded tensor.
std::vector<Array> recorded(const std::string& folder, const Recorded& one);
/// Recorded inputs, by sample, then by input; or outputs.
std::vector<std::vector<Array>> goldens(const std::string& folder, const std::vector<Recorded>& tensors);

/// Prepared inputs as the file takes them. Throws ModelError for those of another shape.
std::vector<Array> encoded(const std::vector<Array>& inputs);
/// Outputs as plain numbers.
Outputs decoded(const std::vector<Array>& outputs);
/// Numbers of an array, whatever their type.
std::vector<float> floats(const Array& array);

/// Outputs of one sample, and the seconds that the model took.
Outputs run(Engine& engine, const std::vector<Array>& inputs, double& seconds);
/// Seconds of one run of inputs that are encoded.
double timed(Engine& engine, const std::vector<Array>& inputs);

/// The largest difference of two arrays; infinite where one holds other than finite numbers, or fewer.
double apart(const std::vector<float>& found, const std::vector<float>& wanted);
/// "outputs differ by 3.1, 0.0095 is allowed"; nothing where they do not.
std::string amiss(double gap, double tolerance);
/// A number as people read it.
std::string shown(double value);

/// The first candidate that gives what was recorded and is faster than the CPU, else the CPU. Throws ModelError.
Chosen choose(const Options& options);

}  // namespace edge_model
