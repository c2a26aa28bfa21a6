// Ask the model about image files, or test it here. See README.md.
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <fstream>
#include <string>
#include <vector>

#include "edge_model/edge_model.hpp"

namespace {

const char* const USAGE =
    "usage: edge_model photo.jpg ...             an answer for each\n"
    "       edge_model --self-test [--number]    does it answer here as was recorded? Writes selftest.json\n"
    "options: --accelerator NAME (auto: all that are here), --threads N, --model FOLDER, --out FILE\n";

struct Arguments {
    bool self_test = false, number = false;
    std::string out = "selftest.json";
    std::vector<std::string> names, accelerators;
    edge_model::Options options;
};

bool parsed(int count, char** words, Arguments& found) {
    for (int i = 1; i < count; i++) {
        const std::string word = words[i];
        const bool valued = word == "--out" || word == "--accelerator" || word == "--threads" || word == "--model";
        if (valued && ++i == count) {
            return false;
        }
        if (word == "--self-test") {
            found.self_test = true;
        } else if (word == "--number") {
            found.number = true;
        } else if (word == "--out") {
            found.out = words[i];
        } else if (word == "--accelerator") {
            found.accelerators.push_back(words[i]);
        } else if (word == "--threads") {
            found.options.threads = std::atoi(words[i]);
        } else if (word == "--model") {
            found.options.folder = words[i];
        } else if (word.rfind("--", 0) == 0) {
            return false;
        } else {
            found.names.push_back(word);
        }
    }
    const bool asked = found.self_test ? found.names.empty() : !found.names.empty() && !found.number;
    return asked && found.options.threads > 0;
}

std::string reason(const std::string& why) { return why.empty() ? "" : ": " + why; }

int self_test(const Arguments& asked) {
    const edge_model::Tested found = edge_model::self_test(asked.options, asked.number);
    for (const auto& one : found.checks) {
        const char* word = !one.passed ? "not looked at" : *one.passed ? "ok" : "FAILED";
        std::printf("%-13s %s%s\n", word, one.what.c_str(), reason(one.why).c_str());
    }
    for (const auto& one : found.tried) {
        std::printf("%-13s %s%s\n", one.kept ? "kept" : "not kept", one.name.c_str(), reason(one.why).c_str());
    }
    if (found.median) {
        std::printf("%-13s %.3g ms a run (median), by %s\n", "latency", 1e3 * *found.median, found.used.c_str());
    } else if (!found.emulated.empty()) {
        const char* by = found.emulated.c_str();
        std::printf("%-13s programs run in %s here, whose seconds are no device's\n", "not timed", by);
    }
    std::ofstream file(asked.out, std::ios::binary);
    file << found.json;
    file.close();
    if (!file) {
        throw edge_model::ModelError(asked.out + " cannot be written");
    }
    std::printf("%s: see %s\n", found.passed ? "passed" : "FAILED", asked.out.c_str());
    return found.passed ? 0 : 1;
}

std::string told(const edge_model::Result& result) {
    char text[64];
    std::string line;
    for (const auto& one : result.answers) {
        std::snprintf(text, sizeof text, " %.1f %%", 100 * one.confidence);
        line += line.empty() ? "" : "; ";
        line += one.head.empty() ? "" : one.head + " ";
        line += one.accepted ? one.label + text : "not sure (" + one.label + text + ")";
    }
    for (const auto& one : result.numbers) {
        std::snprintf(text, sizeof text, " %.5g", one.value);
        line += (line.empty() ? "" : ", ") + one.name + text + (one.unit.empty() ? "" : " " + one.unit);
    }
    std::snprintf(text, sizeof text, ", %.2f ms", result.milliseconds);
    return line + text;
}

int files(const Arguments& asked) {
    edge_model::Classifier model(asked.options);
    int status = 0;
    for (const std::string& name : asked.names) {
        try {
            std::printf("%s: %s\n", name.c_str(), told(model.classify(name)).c_str());
        } catch (const std::exception& error) {
            std::fprintf(stderr, "%s: %s\n", name.c_str(), error.what());
            status = 1;
        }
    }
    return status;
}

}  // namespace

// 0: all is well, 1: something failed, 2: the command line is wrong.
int main(int count, char** words) {
    Arguments asked;
    if (!parsed(count, words, asked)) {
        std::fputs(USAGE, stderr);
        return 2;
    }
    try {
        for (const std::string& name : asked.accelerators) {
            const auto found = edge_model::accelerators(name);
            asked.options.accelerators.insert(asked.options.accelerators.end(), found.begin(), found.end());
        }
        return asked.self_test ? self_test(asked) : files(asked);
    } catch (const std::exception& error) {
        std::fprintf(stderr, "%s\n", error.what());
        return 1;
    }
}
