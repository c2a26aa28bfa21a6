// The model by ONNX Runtime. It sends nothing anywhere: its telemetry is off before anything else is asked of it.
#include <onnxruntime_cxx_api.h>

#include <algorithm>
#include <cstdlib>
#include <map>

#include "engine.hpp"

namespace edge_model {
namespace {

const char* const CPU = "CPUExecutionProvider";
// This sends the work elsewhere.
const char* const NEVER = "AzureExecutionProvider";
const char* const ENDING = "ExecutionProvider";

Ort::Env& environment() {
    static Ort::Env& only = []() -> Ort::Env& {
#ifdef _WIN32
        _putenv_s("ORT_DISABLE_TELEMETRY", "1");
#else
        setenv("ORT_DISABLE_TELEMETRY", "1", 1);
#endif
        static Ort::Env made(ORT_LOGGING_LEVEL_ERROR, "edge_model");
        made.DisableTelemetryEvents();
        return made;
    }();
    return only;
}

const std::map<std::string, ONNXTensorElementDataType>& types() {
    static const std::map<std::string, ONNXTensorElementDataType> known = {
        {"float32", ONNX_TENSOR_ELEMENT_DATA_TYPE_FLOAT},  {"float64", ONNX_TENSOR_ELEMENT_DATA_TYPE_DOUBLE},
        {"int8", ONNX_TENSOR_ELEMENT_DATA_TYPE_INT8},      {"uint8", ONNX_TENSOR_ELEMENT_DATA_TYPE_UINT8},
        {"int16", ONNX_TENSOR_ELEMENT_DATA_TYPE_INT16},    {"uint16", ONNX_TENSOR_ELEMENT_DATA_TYPE_UINT16},
        {"int32", ONNX_TENSOR_ELEMENT_DATA_TYPE_INT32},    {"int64", ONNX_TENSOR_ELEMENT_DATA_TYPE_INT64},
        {"bool", ONNX_TENSOR_ELEMENT_DATA_TYPE_BOOL},
    };
    return known;
}

Ort::SessionOptions options_for(int threads) {
    Ort::SessionOptions options;
    options.SetIntraOpNumThreads(threads);
    options.SetInterOpNumThreads(1);
    options.SetLogSeverityLevel(3);
    options.AddConfigEntry("session.intra_op.allow_spinning", "0");
    return options;
}

class OnnxEngine : public Engine {
public:
    OnnxEngine(const std::string& file, const Ort::SessionOptions& options)
        : bytes_(file_bytes(file)), session_(environment(), bytes_.data(), bytes_.size(), options) {
        for (const Spec& spec : package().inputs) {
            inputs_.push_back(spec.name.c_str());
        }
        for (const Spec& spec : package().outputs) {
            outputs_.push_back(spec.name.c_str());
        }
    }

    std::vector<Array> run(const std::vector<Array>& inputs) override {
        std::vector<Ort::Value> fed;
        for (const Array& one : inputs) {
            std::vector<std::int64_t> shape = {1};
            shape.insert(shape.end(), one.shape.begin(), one.shape.end());
            auto* data = const_cast<std::uint8_t*>(one.bytes.data());  // it is only read
            fed.push_back(Ort::Value::CreateTensor(memory_, data, one.bytes.size(), shape.data(), shape.size(),
                                                   types().at(one.dtype)));
        }
        auto found = session_.Run(Ort::RunOptions(), inputs_.data(), fed.data(), fed.size(), outputs_.data(),
                                  outputs_.size());
        std::vector<Array> told;
        for (Ort::Value& value : found) {
            told.push_back(array(value));
        }
        return told;
    }

private:
    static Array array(Ort::Value& value) {
        const auto facts = value.GetTensorTypeAndShapeInfo();
        const auto type = facts.GetElementType();
        const auto named =
            std::find_if(types().begin(), types().end(), [&](const auto& one) { return one.second == type; });
        if (named == types().end()) {
            throw ModelError("the model gives numbers of a type that is not read");
        }
        const auto* from = static_cast<const std::uint8_t*>(value.GetTensorRawData());
        const std::size_t size = value.GetTensorSizeInBytes();
        const std::vector<std::int64_t> shape = facts.GetShape();
        return {named->first, {shape.begin() + (shape.empty() ? 0 : 1), shape.end()}, {from, from + size}};
    }

    std::vector<std::uint8_t> bytes_;
    Ort::Session session_;
    Ort::MemoryInfo memory_ = Ort::MemoryInfo::CreateCpu(OrtArenaAllocator, OrtMemTypeDefault);
    std::vector<const char*> inputs_, outputs_;
};

Candidate candidate(const std::string& provider) {
    return {provider, [provider](const std::string& file, int threads) -> std::unique_ptr<Engine> {
                environment();
                Ort::SessionOptions options = options_for(threads);
                if (provider == "CUDAExecutionProvider") {
                    options.AppendExecutionProvider_CUDA(OrtCUDAProviderOptions());
                } else {
                    options.AppendExecutionProvider(provider.substr(0, provider.size() - std::string(ENDING).size()));
                }
                return std::make_unique<OnnxEngine>(file, options);
            }};
}

}  // namespace

std::string runtime_version() { return OrtGetApiBase()->GetVersionString(); }

std::unique_ptr<Engine> open_cpu(const std::string& file, int threads) {
    environment();
    return std::make_unique<OnnxEngine>(file, options_for(threads));
}

std::vector<Candidate> accelerators(const std::string& name) {
    environment();
    std::vector<Candidate> found;
    std::string known;
    for (const std::string& one : Ort::GetAvailableProviders()) {
        if (one == CPU || one == NEVER) {
            continue;
        }
        known += (known.empty() ? "" : ", ") + one;
        if (name == "auto" || name == one) {
            found.push_back(candidate(one));
        }
    }
    if (name != "auto" && found.empty()) {
        const std::string has = known.empty() ? "none" : known;
        throw ModelError("this ONNX Runtime has no accelerator " + name + "; it has: " + has);
    }
    return found;
}

}  // namespace edge_model
