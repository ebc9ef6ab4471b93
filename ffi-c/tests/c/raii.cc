// The C++ header: moves, exceptions and codes, std::istream, std::function callbacks.
#include <playswarm.hpp>

#include <atomic>
#include <chrono>
#include <cstdlib>
#include <fstream>
#include <iostream>
#include <iterator>
#include <thread>
#include <type_traits>

#define CHECK(condition)                                                                                               \
    do {                                                                                                               \
        if (!(condition)) {                                                                                            \
            std::cerr << __FILE__ << ":" << __LINE__ << ": not so: " #condition "\n";                                  \
            std::exit(1);                                                                                              \
        }                                                                                                              \
    } while (0)

namespace {

static_assert(!std::is_copy_constructible_v<playswarm::stream> && !std::is_copy_assignable_v<playswarm::torrent>);
static_assert(std::is_nothrow_move_constructible_v<playswarm::session> &&
              std::is_nothrow_move_assignable_v<playswarm::config>);

template <class Call> playswarm::error_code thrown(Call &&call) {
    try {
        call();
    } catch (const playswarm::error &e) {
        CHECK(!std::string(e.what()).empty() && e.what() == e.code().message());
        return e.code();
    }
    return {};
}

template <class Holds> void until(Holds &&holds) {
    for (int i = 0; !holds(); ++i) {
        CHECK(i < 6000);
        std::this_thread::sleep_for(std::chrono::milliseconds(10));
    }
}

playswarm::config offline(const std::string &folder, const std::string &peer) {
    playswarm::config config;
    config.set("dir", folder).set("listen", "127.0.0.1:0").set("peers", peer);
    for (const char *key : {"dht", "lsd", "pex", "trackers", "port_map"})
        config.set(key, "false");
    return config;
}

void reads_as_an_istream(playswarm::torrent &torrent, const std::string &film) {
    playswarm::istream in(torrent.stream());
    std::string all{std::istreambuf_iterator<char>(in), std::istreambuf_iterator<char>()};
    CHECK(all == film && !in.bad());
    in.clear();
    in.seekg(-1000, std::ios::end);
    CHECK(in && in.tellg() == static_cast<std::streamoff>(film.size() - 1000));
    std::string end(2000, '\0');
    in.read(end.data(), 2000);
    CHECK(in.eof() && in.gcount() == 1000 && film.compare(film.size() - 1000, 1000, end, 0, 1000) == 0);
    in.clear();
    in.seekg(777);
    char byte = 0;
    CHECK(in.get(byte) && byte == film[777] && in.tellg() == std::streamoff(778));
    in.seekg(22, std::ios::cur);
    CHECK(in.get(byte) && byte == film[800]);
    in.seekg(-5, std::ios::beg);
    CHECK(in.fail());
    in.clear();
    std::string large(700000, '\0');
    in.seekg(3);
    CHECK(in.read(large.data(), static_cast<std::streamsize>(large.size())));
    CHECK(film.compare(3, large.size(), large) == 0);

    // Cancelled: bad, and why.
    in.source().cancel();
    in.seekg(0);
    CHECK(in.get() == std::istream::traits_type::eof() && in.bad() && in.error().value() == PLAYSWARM_CANCELLED);
    in.source().clear_cancel();
    in.clear();
    CHECK(in.get(byte) && byte == film[0]);
}

} // namespace

int main(int, char **argv) {
    const std::string source = argv[1], peer = argv[3], folder = argv[4];
    std::ifstream file(argv[2], std::ios::binary);
    const std::string film{std::istreambuf_iterator<char>(file), std::istreambuf_iterator<char>()};

    std::atomic<int> lines{0};
    playswarm::set_log(PLAYSWARM_LOG_DEBUG, [&](int, const char *, const char *) {
        ++lines;
        throw std::runtime_error("it does not reach C");
    });
    {
        playswarm::error_code code = thrown([] { playswarm::config().set("no_such", "1"); });
        CHECK(code.value() == PLAYSWARM_BAD_CONFIG && code.name() == std::string("bad_config"));
        code = thrown([] { playswarm::config::from_json("["); });
        CHECK(code.value() == PLAYSWARM_BAD_CONFIG && !code.is_temporary());

        playswarm::session session(offline(folder, peer));
        CHECK(session.port() != 0);
        CHECK(thrown([&] { session.open("magnet:?"); }).value() == PLAYSWARM_BAD_SOURCE);
        playswarm::torrent none =
            session.open("0123456789012345678901234567890123456789", 20, nullptr, code);
        CHECK(!none && code.value() == PLAYSWARM_TIMED_OUT && code.is_temporary());

        playswarm::canceller canceller;
        std::thread other([&] { canceller.cancel(); });
        CHECK(thrown([&] { session.open_info_hash({1, 2, 3}, 0, &canceller); }).value() == PLAYSWARM_CANCELLED);
        other.join();
        canceller.clear();
        CHECK(!canceller.is_cancelled());

        playswarm::torrent torrent = session.open(source, 20000, &canceller);
        std::ifstream raw(source, std::ios::binary);
        const std::string bytes{std::istreambuf_iterator<char>(raw), std::istreambuf_iterator<char>()};
        CHECK(session.open_bytes(bytes).info_hash() == torrent.info_hash());
        CHECK(torrent.name() == "film.mkv" && torrent.files().size() == 1 && torrent.file(0).length == film.size());
        CHECK(torrent.file(0).is_playable && torrent.find_file("film") == 0);

        std::atomic<int> verified{0};
        std::atomic<bool> said{false};
        torrent.on_event(5, [&](const playswarm::event &event) {
            verified += event.kind == PLAYSWARM_EVENT_PIECE_VERIFIED;
            if (event.kind == PLAYSWARM_EVENT_STATUS)
                said = event.status->total_bytes == film.size();
        });
        std::atomic<int> readable{0};
        playswarm::stream stream = torrent.stream();
        stream.on_readable([&] { ++readable; });

        std::string got;
        std::vector<char> buffer(50000);
        while (std::size_t n = stream.read(buffer.data(), buffer.size()))
            got.append(buffer.data(), n);
        CHECK(got == film && stream.position() == stream.size());
        CHECK(stream.seek(-1, PLAYSWARM_SEEK_END) == film.size() - 1);
        CHECK(thrown([&] { stream.seek(-1); }).value() == PLAYSWARM_BAD_ARGUMENT);
        CHECK(stream.readable_at(0) == film.size() && stream.eventfd() >= 0);
        until([&] { return verified > 0 && said && readable > 0; });
        reads_as_an_istream(torrent, film);
        CHECK(torrent.status().verified_bytes == film.size() && torrent.piece_map() == std::string(torrent.status().pieces, '#'));
        CHECK(torrent.status_json().front() == '{' && torrent.trouble().empty());
        CHECK(torrent.recheck() == film.size());
        torrent.sync();
        CHECK(torrent.choose_file() == 0 && session.opening_json() == "[]");
        CHECK(playswarm::config().ranges_json().find("\"max_peers\"") != std::string::npos);
        {
            playswarm::rtsp_server server = torrent.serve_rtsp(0, "127.0.0.1:0", "abc");
            CHECK(server.url().find("/~abc/0/film.mkv") != std::string::npos && server.sessions_json() == "[]");
        }
        CHECK(thrown([&] { torrent.serve_rtsp(7); }).value() == PLAYSWARM_NO_SUCH_FILE);

        CHECK(torrent.time(0).duration_us == 0 && torrent.time(0).is_estimate == 1);
        CHECK(stream.seek_time(std::chrono::seconds(0)).position == 0 && stream.time().count() == 0);
        CHECK(thrown([&] { stream.seek_time(std::chrono::seconds(-1)); }).value() == PLAYSWARM_BAD_ARGUMENT);

        // A live channel, to this session from another one.
        {
            playswarm::session source(offline(folder + "/source", ""));
            const playswarm::seed key = playswarm::new_seed();
            playswarm::cast cast = source.cast("Channel", &key, "application/x-test", 100000);
            playswarm::channel channel = session.watch(cast.link());
            playswarm::stream live = channel.share().stream();
            until([&] { return channel.status().has_head; });
            cast.write(film.data(), 50000);
            cast.end();
            CHECK(std::string(channel.on_air(30000).name) == "Channel" && channel.head().bytes_per_s == 100000);
            CHECK(!live.has_size() && thrown([&] { live.size(); }).value() == PLAYSWARM_NO_SIZE);
            playswarm::istream in(session.open_stream(cast.link()));
            std::string all{std::istreambuf_iterator<char>(in), std::istreambuf_iterator<char>()};
            CHECK(all == film.substr(0, 50000));
            CHECK(channel.link() == cast.link() && channel.status_json().front() == '{');
            CHECK(cast.status().connections == 1);
            channel.leave();
            CHECK(thrown([&] { session.watch("film.torrent"); }).value() == PLAYSWARM_BAD_SOURCE);
        }

        // A moved-from handle owns nothing, and says so.
        playswarm::stream moved = std::move(stream);
        CHECK(!stream && thrown([&] { stream.size(); }).value() == PLAYSWARM_BAD_ARGUMENT && moved.size() == film.size());
        playswarm::stream shared = moved.share();
        moved = playswarm::stream();
        shared.seek(5);
        CHECK(shared.read(buffer.data(), 10) == 10 && film.compare(5, 10, buffer.data(), 10) == 0);

        // Cancelled by another thread while it waits.
        playswarm::session lonely(offline(folder + "/lonely", ""));
        playswarm::stream waits = lonely.open(source).stream();
        std::thread canceled([&] {
            std::this_thread::sleep_for(std::chrono::milliseconds(20));
            waits.cancel();
        });
        CHECK(waits.read(buffer.data(), 10, code) == 0 && code.value() == PLAYSWARM_CANCELLED);
        canceled.join();
        waits.clear_cancel();
        CHECK(!waits.is_cancelled());
        torrent.on_event(0, nullptr);
        session.close();
        CHECK(thrown([&] { shared.read(buffer.data(), 1); }).value() == PLAYSWARM_CLOSED);
    }
    until([&] { return lines > 0; });
    playswarm::set_log(0, nullptr);
    CHECK(playswarm_live_handles() == 0);
    return 0;
}
