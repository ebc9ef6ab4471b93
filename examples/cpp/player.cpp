// The smallest player: writes the film to the standard input of a player.
//
//     ./player dir=/var/tmp/films film.torrent | mpv -
#include "setup.hpp"

int main(int argc, char **argv) {
    return run([&] {
        playswarm::session session = start(argc, argv);
        playswarm::istream film(session.open(argv[argc - 1]).stream());
        std::cout << film.rdbuf() << std::flush;
        if (film.error())
            throw playswarm::error(film.error());
    });
}
