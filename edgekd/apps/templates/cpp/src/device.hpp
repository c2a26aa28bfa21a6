#pragma once

#include <cstdint>
#include <string>

namespace edge_model {

/// What this device says of itself; empty or 0 where it says nothing.
struct Device {
    std::string name, system, processor, agent, emulated;
    unsigned cores;
    std::uint64_t memory;
};

Device device();

}  // namespace edge_model
