// Shared code of the examples: a session with the settings of the command line (KEY=VALUE before
// SOURCE).
#pragma once

#include <playswarm.hpp>

#include <iostream>
#include <string>

inline playswarm::session start(int argc, char **argv) {
    playswarm::config config;
    for (int i = 1; i < argc - 1; ++i) {
        std::string setting = argv[i];
        auto equals = setting.find('=');
        if (equals == std::string::npos)
            throw std::invalid_argument("'" + setting + "' is no setting; give KEY=VALUE, such as dir=/var/tmp/films");
        config.set(setting.substr(0, equals), setting.substr(equals + 1));
    }
    if (argc < 2)
        throw std::invalid_argument(std::string("usage: ") + argv[0] + " [KEY=VALUE]... SOURCE");
    return playswarm::session(config);
}

/// Runs a program. Prints a message if it fails.
template <class Run> int run(Run &&program) {
    try {
        program();
        return 0;
    } catch (const std::exception &e) {
        std::cerr << e.what() << '\n';
        return 1;
    }
}
