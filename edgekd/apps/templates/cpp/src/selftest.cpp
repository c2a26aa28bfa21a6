// Does this model, here, through this very code, still answer as was recorded? Then how fast it is. Each link of the
// chain is looked at alone, so that a finding names what broke.
#include <algorithm>
#include <chrono>
#include <cmath>
#include <cstring>
#include <ctime>

#include "answers.hpp"
#include "decode.hpp"
#include "device.hpp"
#include "engine.hpp"
#include "json.hpp"
#include "preprocess.hpp"
#include "sha256.hpp"

namespace edge_model {
namespace {

// Levels of 255 by which decoders of lossy formats may differ: of any value, and on average.
constexpr int LEVELS = 8;
constexpr double MEAN = 1;
// Share of the largest input by which preparing may differ.
constexpr double SHARE = 1e-5;
// Runs and seconds of timing; beyond MOST values each becomes the mean of more runs.
constexpr std::size_t LOOK = 50, NUMBER = 1024, WARM_UP = 20, MOST = 5000;
constexpr double MINUTE = 60;
constexpr std::size_t LONGEST_REASON = 300;

struct Outcome {
    std::optional<bool> passed;
    std::string why;
};

Outcome ok_unless(const std::string& why) { return {why.empty(), why}; }

Outcome not_seen(const std::string& why) { return {std::nullopt, why}; }

// Why answers are not the recorded ones; a label counts only where no other is as likely.
std::string unlike(const Result& found, const Told& wanted, double tolerance) {
    if (found.answers.size() != wanted.labels.size()) {
        return std::to_string(found.answers.size()) + " answers, recorded were " + std::to_string(wanted.labels.size());
    }
    for (std::size_t i = 0; i < wanted.labels.size(); i++) {
        const Answer& one = found.answers[i];
        if (wanted.decided && one.label != wanted.labels[i]) {
            return "the answer is " + one.label + ", recorded was " + wanted.labels[i];
        }
        const double gap = std::abs(one.confidence - wanted.probabilities[i]);
        if (!(gap <= tolerance)) {
            return "the probability differs by " + shown(gap) + ", " + shown(tolerance) + " is allowed";
        }
    }
    return "";
}

std::vector<float> float_file(const std::string& path) {
    return floats({"float32", {}, file_bytes(path)});
}

std::string now() {
    const std::time_t seconds = std::time(nullptr);
    char text[32];
    std::strftime(text, sizeof text, "%Y-%m-%dT%H:%M:%S+00:00", std::gmtime(&seconds));
    return text;
}

std::string one_line(std::string text) {
    std::replace_if(text.begin(), text.end(), [](unsigned char letter) { return letter < 32; }, ' ');
    return text.substr(0, LONGEST_REASON);
}

}  // namespace

class SelfTest {
public:
    SelfTest(const Options& options, Classifier* classifier, std::string why)
        : folder_(folder_of(options)), classifier_(classifier), why_(std::move(why)) {}

    std::vector<Check> checks() {
        tried("files", [this] { return files(); });
        for (const Picture& one : model_.pictures) {
            tried("decode " + one.file, [&] { return decoded_picture(one); });
        }
        for (const Picture& one : model_.pictures) {
            tried("prepare " + one.file, [&] { return prepared_picture(one); });
        }
        for (const std::string& name : model_.front_ends) {
            tried("prepare " + name, [] { return not_seen("this program takes inputs that are prepared"); });
        }
        for (std::size_t i = 0; i < model_.outputs.size(); i++) {
            tried("model " + model_.outputs[i].name, [&] { return outputs(i); });
        }
        tried("answers", [this] { return answers(); });
        if (!model_.pictures.empty()) {
            tried("pictures", [this] { return pictures(); });
        }
        return found_;
    }

    std::optional<double> difference() const { return difference_; }
    const std::string& sha256_of_model() const { return sha256_; }

private:
    template <class Look> void tried(const std::string& what, const Look& look) {
        Outcome outcome;
        try {
            outcome = look();
        } catch (const NotBuilt& error) {
            outcome = not_seen(error.what());
        } catch (const std::exception& error) {
            outcome = {false, error.what()};
        }
        found_.push_back({what, outcome.passed, one_line(outcome.why)});
    }

    Classifier& running() {
        if (classifier_ == nullptr) {
            throw ModelError(why_);
        }
        return *classifier_;
    }

    // Every file is as it was written.
    Outcome files() {
        std::string why;
        for (const File& one : model_.files) {
            const std::vector<std::uint8_t> bytes = file_bytes(folder_ + one.name);
            const std::string digest = sha256(bytes);
            sha256_ = one.name == model_.model ? digest : sha256_;
            if (why.empty() && bytes.size() != one.size) {
                why = one.name + " has " + std::to_string(bytes.size()) + " bytes, written were ";
                why += std::to_string(one.size);
            } else if (why.empty() && digest != one.sha256) {
                why = "the content of " + one.name + " is not what was written";
            }
        }
        return ok_unless(why);
    }

    const Preprocess& how() const { return *model_.inputs.front().preprocess; }

    // An encoded picture becomes the recorded canvas.
    Outcome decoded_picture(const Picture& one) const {
        const auto wanted = file_bytes(folder_ + "golden/" + one.canvas);
        const auto found = to_canvas(decode(file_bytes(folder_ + "golden/" + one.file)), how());
        if (found.size() != wanted.size()) {
            return {false, std::to_string(found.size()) + " values, recorded were " + std::to_string(wanted.size())};
        }
        int largest = 0;
        double sum = 0;
        for (std::size_t i = 0; i < wanted.size(); i++) {
            const int gap = std::abs(int{found[i]} - int{wanted[i]});
            largest = std::max(largest, gap);
            sum += gap;
        }
        const double mean = sum / static_cast<double>(wanted.size());
        const bool close = largest == 0 || (!one.exact && largest <= LEVELS && mean <= MEAN);
        const std::string told = "differs by up to " + std::to_string(largest) + " of 255 levels, " +
                                 shown(mean) + " on average";
        return {close, largest == 0 ? "" : told};
    }

    // A recorded canvas becomes the recorded input.
    Outcome prepared_picture(const Picture& one) const {
        const std::vector<float> wanted = float_file(folder_ + "golden/" + one.input);
        const std::vector<float> found = prepare(file_bytes(folder_ + "golden/" + one.canvas), how());
        double most = 1;
        for (const float value : wanted) {
            most = std::max(most, std::abs(static_cast<double>(value)));
        }
        const double gap = apart(found, wanted), limit = SHARE * most;
        return ok_unless(gap <= limit ? "" : "differs by " + shown(gap) + ", " + shown(limit) + " is allowed");
    }

    // What the model gives for the recorded inputs, one sample at a time.
    std::vector<Outputs> ran() {
        Engine& engine = *running().chosen_.engine;
        std::vector<Outputs> found;
        double seconds = 0;
        for (const std::vector<Array>& inputs : goldens(folder_, model_.golden_inputs)) {
            found.push_back(run(engine, inputs, seconds));
        }
        return found;
    }

    // Recorded inputs give the recorded outputs.
    Outcome outputs(std::size_t number) {
        const std::vector<Outputs> found = ran();
        if (!model_.missing.empty()) {
            return not_seen("no outputs were recorded: " + model_.missing);
        }
        const std::vector<Array> wanted = recorded(folder_, model_.golden_outputs[number]);
        double gap = 0, seconds = 0;
        for (std::size_t i = 0; i < wanted.size(); i++) {
            gap = std::max(gap, apart(found[i][number], floats(wanted[i])));
        }
        for (std::size_t i = 0; number == 0 && i < model_.pictures.size(); i++) {
            const Picture& one = model_.pictures[i];
            const std::vector<Array> inputs = {Array::of(float_file(folder_ + "golden/" + one.input))};
            gap = std::max(gap, apart(run(*running().chosen_.engine, inputs, seconds)[0], one.outputs));
        }
        difference_ = std::max(gap, difference_.value_or(0));
        return ok_unless(amiss(gap, model_.tolerance));
    }

    // Outputs become the recorded answers: recorded outputs to the last bits, the model's own within the tolerance.
    Outcome answers() {
        if (model_.answers.empty()) {
            return not_seen(model_.columns.empty() ? "no answers were recorded" : "it tells numbers");
        }
        const std::vector<Array> outputs = recorded(folder_, model_.golden_outputs.front());
        for (std::size_t i = 0; i < model_.answers.size(); i++) {
            const std::string why = unlike(read(floats(outputs[i]), 0), model_.answers[i], model_.answer_tolerance);
            if (!why.empty()) {
                return {false, "sample " + std::to_string(i) + ", of its recorded outputs: " + why};
            }
        }
        const std::vector<Outputs> own = ran();
        for (std::size_t i = 0; i < model_.answers.size(); i++) {
            const std::string why = unlike(read(own[i][0], 0), model_.answers[i], model_.probability_tolerance);
            if (!why.empty()) {
                return {false, "sample " + std::to_string(i) + ": " + why};
            }
        }
        return {true, ""};
    }

    // Encoded pictures get what was recorded by the call that applications use.
    Outcome pictures() {
        if (!model_.missing.empty()) {
            return not_seen("no outputs were recorded: " + model_.missing);
        }
        for (const Picture& one : model_.pictures) {
            const Result found = running().classify(folder_ + "golden/" + one.file);
            if (!one.exact) {  // its pixels may differ, so its answer may too
                continue;
            }
            const std::string why = one.answer ? unlike(found, *one.answer, model_.probability_tolerance)
                                               : amiss(apart(found.outputs, one.outputs), model_.tolerance);
            if (!why.empty()) {
                return {false, one.file + ": " + why};
            }
        }
        return {true, ""};
    }

    const Package& model_ = package();
    std::string folder_;
    Classifier* classifier_;
    std::string why_;
    std::string sha256_ = package().sha256;
    std::vector<Check> found_;
    std::optional<double> difference_;

public:
    // The classifier of what was chosen, though it may give other outputs than recorded: the checks say so.
    static std::unique_ptr<Classifier> classifier(Chosen chosen) {
        chosen.wrong.clear();
        return std::unique_ptr<Classifier>(new Classifier(std::move(chosen)));
    }

    struct Latency {
        std::vector<double> seconds;
        std::size_t means;
    };

    // Seconds of runs of the model alone.
    static Latency latency(Classifier& classifier, const std::string& folder, bool number) {
        Engine& engine = *classifier.chosen_.engine;
        std::vector<std::vector<Array>> samples;
        for (const std::vector<Array>& inputs : goldens(folder, package().golden_inputs)) {
            samples.push_back(encoded(inputs));
        }
        for (std::size_t i = 0; i < WARM_UP; i++) {
            timed(engine, samples[i % samples.size()]);
        }
        Latency found = { {}, 1};
        using Clock = std::chrono::steady_clock;
        const auto begin = Clock::now();
        const auto going = [&] { return std::chrono::duration<double>(Clock::now() - begin).count(); };
        const std::size_t least = number ? NUMBER : LOOK;
        for (std::size_t runs = 0; runs < least || (number && going() < MINUTE); runs += found.means) {
            double sum = 0;
            for (std::size_t i = 0; i < found.means; i++) {
                sum += timed(engine, samples[(runs + i) % samples.size()]);
            }
            found.seconds.push_back(sum / static_cast<double>(found.means));
            if (found.seconds.size() == MOST) {
                for (std::size_t i = 0; i < MOST / 2; i++) {
                    found.seconds[i] = (found.seconds[2 * i] + found.seconds[2 * i + 1]) / 2;
                }
                found.seconds.resize(MOST / 2);
                found.means *= 2;
            }
        }
        return found;
    }

    static const Chosen& chosen(const Classifier& classifier) { return classifier.chosen_; }
};

namespace {

std::string told(const std::vector<Check>& checks) {
    std::vector<std::string> found;
    for (const Check& one : checks) {
        const std::string passed = one.passed ? json::flag(*one.passed) : "null";
        found.push_back(json::object(
            { {"what", json::text(one.what)}, {"passed", passed}, {"why", json::text(one.why)}}));
    }
    return json::list(found);
}

std::string told(const std::vector<Tried>& tried) {
    std::vector<std::string> found;
    for (const Tried& one : tried) {
        const std::string seconds = one.seconds ? json::number(*one.seconds) : "null";
        found.push_back(json::object({ {"name", json::text(one.name)}, {"kept", json::flag(one.kept)},
                                      {"why", json::text(one.why)}, {"seconds", seconds}}));
    }
    return json::list(found);
}

std::string told(const Device& here) {
    return json::object({ {"name", json::text(here.name)}, {"system", json::text(here.system)},
                         {"processor", json::text(here.processor)}, {"cores", std::to_string(here.cores)},
                         {"memory", here.memory == 0 ? "null" : std::to_string(here.memory)},
                         {"agent", json::text(here.agent)}, {"emulated", json::text(here.emulated)}});
}

std::string told(const SelfTest::Latency& latency, const Chosen& chosen, bool number) {
    std::vector<std::string> seconds;
    for (const double one : latency.seconds) {
        seconds.push_back(json::number(one));
    }
    return json::object({ {"protocol", json::text(number ? "number" : "look")}, {"seconds", json::list(seconds)},
                         {"means", std::to_string(latency.means)}, {"warmup", std::to_string(WARM_UP)},
                         {"load", json::number(chosen.load)}, {"first", json::number(chosen.first)}});
}

}  // namespace

Tested self_test(const Options& options, bool number) {
    std::unique_ptr<Classifier> classifier;
    std::string why;
    try {
        classifier = SelfTest::classifier(choose(options));
    } catch (const std::exception& error) {  // its reason is that of the checks that need a model
        why = error.what();
    }
    const Package& model = package();
    const Device here = device();
    SelfTest test(options, classifier.get(), why);
    Tested found = {true, test.checks(), {}, "none", std::nullopt, here.emulated, ""};
    for (const Check& one : found.checks) {
        found.passed = found.passed && one.passed.value_or(true);
    }
    int threads = std::max(1, options.threads);
    std::string latency = "null";
    if (classifier) {
        const Chosen& chosen = SelfTest::chosen(*classifier);
        found.tried = chosen.tried, found.used = chosen.used, threads = chosen.threads;
        if (found.passed && here.emulated.empty()) {
            SelfTest::Latency times = SelfTest::latency(*classifier, folder_of(options), number);
            latency = told(times, chosen, number);
            std::sort(times.seconds.begin(), times.seconds.end());
            found.median = times.seconds[times.seconds.size() / 2];
        }
    }
    const std::string difference = test.difference() ? json::number(*test.difference()) : "null";
    found.json = json::object({
        {"schema_version", "1"},
        {"kind", json::text("edgekd self-test")},
        {"app", json::text("cpp")},
        {"created", json::text(now())},
        {"model", json::object({ {"name", json::text(model.model)},
                                {"sha256", json::text(test.sha256_of_model())},
                                {"slug", json::text(model.slug)}})},
        {"device", told(here)},
        {"runtime", json::object({ {"name", json::text(model.format)}, {"version", json::text(runtime_version())}})},
        {"accelerator", json::object({ {"used", json::text(found.used)},
                                      {"threads", std::to_string(threads)},
                                      {"tried", told(found.tried)}})},
        {"passed", json::flag(found.passed)},
        {"checks", told(found.checks)},
        {"difference", difference},
        {"tolerance", json::number(model.tolerance)},
        {"latency", latency},
    }) + "\n";
    return found;
}

}  // namespace edge_model
