// Downloads all files of a torrent to the folder `dir`, with a progress bar.
//
//     ./downloader dir=/var/tmp/films film.torrent
#include "setup.hpp"

#include <chrono>
#include <iomanip>
#include <thread>

int main(int argc, char **argv) {
    return run([&] {
        playswarm::session session = start(argc, argv);
        playswarm::torrent torrent = session.open(argv[argc - 1]);
        for (const playswarm::file_info &file : torrent.files())
            if (!file.is_padding)
                std::cout << file.name << " (" << file.length << " bytes)\n";
        torrent.recheck(); // accepts the data that is already there
        torrent.fetch_all();
        for (;;) {
            playswarm_torrent_status now = torrent.status();
            auto done = static_cast<std::size_t>(40.0 * static_cast<double>(now.verified_bytes) /
                                                 static_cast<double>(now.total_bytes));
            std::cout << "\r[" << std::string(done, '#') << std::string(40 - done, '.') << "] " << std::fixed
                      << std::setprecision(2) << now.download_bytes_per_s / 1e6 << " MB/s from " << now.peers
                      << " peers " << std::flush;
            if (now.verified_bytes == now.total_bytes)
                break;
            std::this_thread::sleep_for(std::chrono::milliseconds(200));
        }
        std::cout << '\n';
        torrent.sync();
    });
}
