#include "device.hpp"

#include <fstream>
#include <sstream>
#include <thread>

#ifndef _WIN32
#include <sys/utsname.h>
#include <unistd.h>
#endif

namespace edge_model {
namespace {

#ifndef _WIN32
std::string first_line(const char* path) {
    std::ifstream file(path);
    std::string line;
    std::getline(file, line);
    const std::size_t end = line.find_last_not_of(std::string(" \t\0", 3));
    return end == std::string::npos ? "" : line.substr(0, end + 1);
}

std::string processor() {
    std::ifstream file("/proc/cpuinfo");
    for (std::string line; std::getline(file, line);) {
        const std::size_t colon = line.find(": ");
        if (line.rfind("model name", 0) == 0 && colon != std::string::npos) {
            return line.substr(colon + 2);
        }
    }
    return "";
}

// Emulators show a process itself as it should look, so its thread and the process that started it are looked at.
std::string emulator() {
    const std::string parent = "/proc/" + std::to_string(getppid()) + "/exe";
    for (const std::string& path : {std::string("/proc/thread-self/exe"), parent}) {
        char target[4096];
        const ssize_t size = readlink(path.c_str(), target, sizeof target);
        const std::string whole(target, size < 0 ? 0 : static_cast<std::size_t>(size));
        const std::string name = whole.substr(whole.rfind('/') + 1);
        for (const char* known : {"qemu-", "box64", "rosetta", "FEX"}) {
            if (name.rfind(known, 0) == 0) {
                return name;
            }
        }
    }
    return "";
}
#endif

std::string compiler() {
    std::ostringstream told;
#if defined(__clang__)
    told << "C++, clang " << __clang_major__ << '.' << __clang_minor__;
#elif defined(__GNUC__)
    told << "C++, gcc " << __GNUC__ << '.' << __GNUC_MINOR__;
#else
    told << "C++";
#endif
    return told.str();
}

}  // namespace

Device device() {
    Device found = {"", "", "", compiler(), "", std::thread::hardware_concurrency(), 0};
#ifndef _WIN32
    found.name = first_line("/proc/device-tree/model");
    if (found.name.empty()) {
        found.name = first_line("/sys/class/dmi/id/product_name");
    }
    utsname said = {};
    if (uname(&said) == 0) {
        found.system = std::string(said.sysname) + " " + said.release + " " + said.machine;
    }
    found.processor = processor();
    const long pages = sysconf(_SC_PHYS_PAGES), size = sysconf(_SC_PAGESIZE);
    found.memory = pages > 0 && size > 0 ? static_cast<std::uint64_t>(pages) * static_cast<std::uint64_t>(size) : 0;
    found.emulated = emulator();
#endif
    return found;
}

}  // namespace edge_model
