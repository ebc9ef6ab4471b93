// A status monitor: reads a film without playing it, and prints its status once a second and each
// event.
//
//     ./watcher dir=/var/tmp/films film.torrent
#include "setup.hpp"

#include <vector>

int main(int argc, char **argv) {
    return run([&] {
        playswarm::set_log(PLAYSWARM_LOG_INFO, [](playswarm_log_level level, const char *target, const char *message) {
            std::cerr << playswarm_log_level_name(level) << ' ' << target << ": " << message << '\n';
        });
        playswarm::session session = start(argc, argv);
        playswarm::torrent torrent = session.open(argv[argc - 1]);
        torrent.on_event(1000, [](const playswarm::event &event) {
            std::cout << playswarm_event_kind_name(event.kind);
            if (event.kind == PLAYSWARM_EVENT_STATUS)
                std::cout << ": " << event.status->verified_bytes << " of " << event.status->total_bytes
                          << " bytes here, " << event.status->ahead_bytes << " ahead, " << event.status->peers
                          << " peers";
            if (event.kind == PLAYSWARM_EVENT_PIECE_VERIFIED)
                std::cout << ' ' << event.number;
            if (event.peer)
                std::cout << ' ' << event.peer;
            if (event.message)
                std::cout << ": " << event.message;
            std::cout << std::endl;
        });
        playswarm::stream film = torrent.stream();
        std::vector<char> buffer(1 << 16);
        while (film.read(buffer.data(), buffer.size()) > 0) {
        }
        torrent.on_event(0, nullptr);
        playswarm::set_log(0, nullptr);
    });
}
