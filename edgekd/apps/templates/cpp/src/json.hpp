// JSON is only written here: objects and arrays of what is text already.
#pragma once

#include <cmath>
#include <cstdio>
#include <cstdlib>
#include <string>
#include <utility>
#include <vector>

namespace edge_model::json {

inline std::string text(const std::string& value) {
    std::string found = "\"";
    for (const char letter : value) {
        const auto code = static_cast<unsigned char>(letter);
        if (code < 0x20) {
            char escaped[8];
            std::snprintf(escaped, sizeof escaped, "\\u%04x", static_cast<unsigned>(code));
            found += escaped;
        } else {
            found += letter == '"' || letter == '\\' ? std::string("\\") + letter : std::string(1, letter);
        }
    }
    return found + "\"";
}

/// A number, in as few digits as tell it exactly; null where it is not finite.
inline std::string number(double value) {
    char shown[40];
    for (int digits = 6; digits <= 17; digits++) {
        std::snprintf(shown, sizeof shown, "%.*g", digits, value);
        if (std::strtod(shown, nullptr) == value) {
            break;
        }
    }
    return std::isfinite(value) ? shown : "null";
}

inline std::string flag(bool value) { return value ? "true" : "false"; }

inline std::string list(const std::vector<std::string>& values) {
    std::string found;
    for (const std::string& value : values) {
        found += (found.empty() ? "" : ", ") + value;
    }
    return "[" + found + "]";
}

inline std::string object(const std::vector<std::pair<std::string, std::string>>& values) {
    std::string found;
    for (const auto& [name, value] : values) {
        found += (found.empty() ? "" : ", ") + text(name) + ": " + value;
    }
    return "{" + found + "}";
}

}  // namespace edge_model::json
