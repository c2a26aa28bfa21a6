// From a model's outputs to answers: classes, calibrated probabilities, and whether it is sure enough to answer.
// Probabilities are softmax(outputs / temperature), whose temperature was fitted on samples that the model was not
// trained with; below a threshold an answer is not accepted.
#include "answers.hpp"

#include <algorithm>
#include <cmath>
#include <numeric>

namespace edge_model {
namespace {

// Classes that an answer lists.
constexpr std::size_t TOP = 5;

std::vector<double> probabilities(const float* outputs, std::size_t count, double temperature) {
    std::vector<double> shares(outputs, outputs + count);
    const double largest = *std::max_element(shares.begin(), shares.end());
    for (double& share : shares) {
        share = std::exp((share - largest) / temperature);
    }
    const double sum = std::accumulate(shares.begin(), shares.end(), 0.0);
    for (double& share : shares) {
        share /= sum;
    }
    return shares;
}

Answer answered(const Head& head, const Confidence* told, const float* outputs) {
    const std::vector<double> shares = probabilities(outputs, head.classes.size(), told ? told->temperature : 1.0);
    std::vector<std::size_t> order(shares.size());
    std::iota(order.begin(), order.end(), std::size_t{0});
    if (std::none_of(shares.begin(), shares.end(), [](double share) { return std::isnan(share); })) {
        const auto before = [&](std::size_t a, std::size_t b) { return shares[a] > shares[b]; };
        std::stable_sort(order.begin(), order.end(), before);
    }
    const std::size_t index = order.front();
    const bool accepted = !told || !told->threshold || shares[index] >= *told->threshold;
    const bool calibrated = told != nullptr;
    Answer found = {head.name, head.classes[index], static_cast<int>(index), shares[index], calibrated, accepted, {}};
    order.resize(std::min(TOP, order.size()));
    for (const std::size_t one : order) {
        found.top.push_back({head.classes[one], shares[one]});
    }
    return found;
}

}  // namespace

Result read(const std::vector<float>& outputs, double milliseconds) {
    const Package& model = package();
    Result found = { {}, {}, outputs, milliseconds};
    for (std::size_t i = 0; i < model.columns.size() && i < outputs.size(); i++) {
        found.numbers.push_back({model.columns[i].name, static_cast<double>(outputs[i]), model.columns[i].unit});
    }
    for (std::size_t i = 0; i < model.heads.size() && model.columns.empty(); i++) {
        const Head& head = model.heads[i];
        const auto start = static_cast<std::size_t>(head.start);
        if (start + head.classes.size() > outputs.size()) {
            throw ModelError("the model gave " + std::to_string(outputs.size()) + " outputs, which are too few");
        }
        const Confidence* told = i < model.confidence.size() ? &model.confidence[i] : nullptr;
        found.answers.push_back(answered(head, told, &outputs[start]));
    }
    return found;
}

const Answer& Result::answer(const std::string& head) const {
    for (const Answer& one : answers) {
        if (one.head == head || (head.empty() && answers.size() == 1)) {
            return one;
        }
    }
    throw ModelError(head.empty() ? "there is not one answer: name a head" : "there is no head " + head);
}

double Result::number(const std::string& name) const {
    for (const Number& one : numbers) {
        if (one.name == name) {
            return one.value;
        }
    }
    throw ModelError("there is no number " + name);
}

}  // namespace edge_model
