// What was known of the model when this application was written: signature, files, and what was recorded with it.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <vector>

namespace edge_model {

struct Preprocess {
    int canvas, size;
    std::string channels, filter, layout;
    std::vector<float> mean, std;
};

struct Spec {
    std::string name, dtype;
    std::vector<std::int64_t> shape;  // of one sample; -1: any
    std::optional<float> scale;
    int zero_point;
    bool raw;  // takes whole numbers as they are, whatever their scale
    std::optional<Preprocess> preprocess;
};

struct Head {
    std::string name;
    int start;
    std::vector<std::string> classes;
};

struct Confidence {
    double temperature;
    std::optional<double> threshold;
};

struct Column {
    std::string name, unit;
};

struct File {
    std::string name, sha256;
    std::uint64_t size;
};

struct Recorded {
    std::string name, dtype, file;
    std::vector<std::int64_t> shape;
};

struct Told {
    std::vector<std::string> labels;
    std::vector<double> probabilities;
    bool decided;
};

struct Picture {
    std::string file, canvas, input;
    bool exact;
    std::vector<float> outputs;
    std::optional<Told> answer;
};

struct Package {
    std::string slug, format, model, sha256;
    double tolerance, answer_tolerance, probability_tolerance;
    std::vector<File> files;
    std::vector<Spec> inputs, outputs;
    std::vector<Head> heads;  // of a model without heads: one without a name
    std::vector<Confidence> confidence;
    std::vector<Column> columns;
    int count;
    std::string missing;
    std::vector<Recorded> golden_inputs, golden_outputs;
    std::vector<Told> answers;
    std::vector<Picture> pictures;
    std::vector<std::string> front_ends;
};

/// The tables in package.cpp.
const Package& package();

}  // namespace edge_model
