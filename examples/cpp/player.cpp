// The smallest player: writes a film or a live channel to the standard input of a player.
//
//     ./player dir=/var/tmp/films film.torrent | mpv -
//     ./player 'playswarm:KEY?at=192.168.1.5:6881' | mpv -
#include "setup.hpp"

int main(int argc, char **argv) {
    return run([&] {
        playswarm::session session = start(argc, argv);
        playswarm::istream film(session.open_stream(argv[argc - 1]));
        std::cout << film.rdbuf() << std::flush;
        if (film.error())
            throw playswarm::error(film.error());
    });
}
