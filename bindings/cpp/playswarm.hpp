// playswarm for C++17: the C interface (playswarm.h) as move-only handles. Header only.
//
// Every function throws playswarm::error if the C function fails. Functions with expected failures
// (a torrent that cannot be opened, a cancelled read) have an overload that does not throw. Its
// last argument is a playswarm::error_code &, as in <filesystem>.
//
//     playswarm::config config;
//     config.set("dir", "/var/tmp/films");
//     playswarm::session session(config);
//     playswarm::torrent torrent = session.open("film.torrent");
//     playswarm::stream film = torrent.stream(torrent.default_file());
//     film.seek(film.size() / 2);
//     std::vector<char> buffer(1 << 16);
//     std::size_t n = film.read(buffer.data(), buffer.size()); // 0 at the end
//
// An object owns one reference. A moved-from or default-constructed object owns none, and calls on
// it fail. Several threads may use an object at the same time, as with C handles. They must not do
// so while it is moved, assigned or destroyed.
#ifndef PLAYSWARM_HPP
#define PLAYSWARM_HPP

#include "playswarm.h"

#include <array>
#include <chrono>
#include <cstddef>
#include <cstdint>
#include <functional>
#include <istream>
#include <memory>
#include <stdexcept>
#include <streambuf>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

namespace playswarm {

/// Result of a call that does not throw: 0, or a kind of error and a message.
class error_code {
public:
    error_code() noexcept = default;
    error_code(playswarm_code value, std::string message) : value_(value), message_(std::move(message)) {}

    playswarm_code value() const noexcept { return value_; }
    const std::string &message() const noexcept { return message_; }
    /// Returns the name of the kind, such as "no_metadata".
    const char *name() const noexcept { return playswarm_code_name(value_); }
    /// Whether a later attempt may succeed.
    bool is_temporary() const noexcept { return playswarm_code_is_temporary(value_) != 0; }
    void clear() noexcept {
        value_ = PLAYSWARM_OK;
        message_.clear();
    }
    explicit operator bool() const noexcept { return value_ != PLAYSWARM_OK; }

private:
    playswarm_code value_ = PLAYSWARM_OK;
    std::string message_;
};

/// The exception that the functions throw. what() returns the message.
class error : public std::runtime_error {
public:
    explicit error(const error_code &code) : std::runtime_error(code.message()), code_(code) {}
    const error_code &code() const noexcept { return code_; }

private:
    error_code code_;
};

namespace detail {

/// Converts the code and error object of a failed call, and frees the object.
inline error_code take(playswarm_code code, playswarm_error *raw = nullptr) {
    std::string message;
    if (raw) {
        message = playswarm_error_message(raw);
        playswarm_error_unref(raw);
    } else if (code != PLAYSWARM_OK) {
        message = playswarm_code_description(code);
    }
    return {code, std::move(message)};
}

/// Calls a C function whose last argument is the error object.
template <class Call> error_code attempt(Call &&call) {
    playswarm_error *raw = nullptr;
    playswarm_code code = call(&raw);
    return code == PLAYSWARM_OK ? error_code() : take(code, raw);
}

inline void check(const error_code &code) {
    if (code)
        throw error(code);
}
inline void check(playswarm_code code) {
    if (code != PLAYSWARM_OK)
        throw error(take(code));
}

/// Converts a string that C returned, and frees it.
inline std::string text(char *raw) {
    std::string text = raw ? raw : "";
    playswarm_string_free(raw);
    return text;
}

/// One reference to a handle.
template <class Raw, playswarm_code (*Ref)(Raw *), playswarm_code (*Unref)(Raw *)> class handle {
public:
    handle() noexcept = default;
    /// Takes over one reference.
    explicit handle(Raw *raw) noexcept : raw_(raw) {}
    handle(handle &&other) noexcept : raw_(std::exchange(other.raw_, nullptr)) {}
    handle &operator=(handle &&other) noexcept {
        if (this != &other)
            reset(std::exchange(other.raw_, nullptr));
        return *this;
    }
    handle(const handle &) = delete;
    handle &operator=(const handle &) = delete;
    ~handle() { reset(); }

    /// Returns the handle for C functions. This object still owns it.
    Raw *get() const noexcept { return raw_; }
    explicit operator bool() const noexcept { return raw_ != nullptr; }
    /// Transfers the reference to the caller.
    [[nodiscard]] Raw *release() noexcept { return std::exchange(raw_, nullptr); }
    void reset(Raw *raw = nullptr) noexcept {
        // Replaced first, because the release may call back into this object.
        Raw *old = std::exchange(raw_, raw);
        if (old)
            Unref(old);
    }

protected:
    /// Adds a reference to the same handle.
    Raw *share() const {
        check(Ref(raw_));
        return raw_;
    }

private:
    Raw *raw_ = nullptr;
};

} // namespace detail

/// Settings of a session. docs/CLI.md lists the keys.
class config : public detail::handle<playswarm_config, playswarm_config_ref, playswarm_config_unref> {
public:
    config() {
        playswarm_config *raw = nullptr;
        detail::check(detail::attempt([&](auto e) { return playswarm_config_new(&raw, e); }));
        reset(raw);
    }
    static config from_json(const std::string &json) {
        playswarm_config *raw = nullptr;
        detail::check(detail::attempt([&](auto e) { return playswarm_config_from_json(json.c_str(), &raw, e); }));
        return config(raw);
    }
    config &set(const std::string &key, const std::string &value) {
        detail::check(
            detail::attempt([&](auto e) { return playswarm_config_set(get(), key.c_str(), value.c_str(), e); }));
        return *this;
    }
    std::string to_json() const {
        char *raw = nullptr;
        detail::check(detail::attempt([&](auto e) { return playswarm_config_to_json(get(), &raw, e); }));
        return detail::text(raw);
    }
    /// Returns the numeric settings with their valid values as a JSON array.
    std::string ranges_json() const {
        char *raw = nullptr;
        detail::check(detail::attempt([&](auto e) { return playswarm_config_ranges_json(get(), &raw, e); }));
        return detail::text(raw);
    }

private:
    explicit config(playswarm_config *raw) noexcept : handle(raw) {}
};

/// A means to end waiting calls from another thread.
class canceller : public detail::handle<playswarm_canceller, playswarm_canceller_ref, playswarm_canceller_unref> {
public:
    canceller() {
        playswarm_canceller *raw = nullptr;
        detail::check(detail::attempt([&](auto e) { return playswarm_canceller_new(&raw, e); }));
        reset(raw);
    }
    void cancel() { detail::check(playswarm_canceller_cancel(get())); }
    void clear() { detail::check(playswarm_canceller_reset(get())); }
    bool is_cancelled() const noexcept { return playswarm_canceller_is_cancelled(get()) != 0; }
};

/// A reader of one file, or of a live channel, which has no size and cannot be sought in.
class stream : public detail::handle<playswarm_stream, playswarm_stream_ref, playswarm_stream_unref> {
public:
    using handle::handle;

    /// Returns another owner of the same stream, for use in another thread.
    stream share() const { return stream(handle::share()); }

    /// Reads at least one byte and waits for it if necessary. Returns 0 at the end of the file.
    std::size_t read(void *buffer, std::size_t capacity) {
        error_code code;
        std::size_t n = read(buffer, capacity, code);
        detail::check(code);
        return n;
    }
    std::size_t read(void *buffer, std::size_t capacity, error_code &code) {
        std::size_t n = 0;
        code = detail::attempt([&](auto e) { return playswarm_stream_read(get(), buffer, capacity, &n, e); });
        return n;
    }

    /// Moves without waiting. Returns the new position.
    std::uint64_t seek(std::int64_t offset, int whence = PLAYSWARM_SEEK_SET) {
        error_code code;
        std::uint64_t position = seek(offset, whence, code);
        detail::check(code);
        return position;
    }
    std::uint64_t seek(std::int64_t offset, int whence, error_code &code) {
        std::uint64_t position = 0;
        code = detail::attempt([&](auto e) { return playswarm_stream_seek(get(), offset, whence, &position, e); });
        return position;
    }

    /// Moves to the keyframe at or before a time. Waits for the file's index if it is not known
    /// yet.
    playswarm_seek_point seek_time(std::chrono::microseconds time) {
        error_code code;
        playswarm_seek_point seek_point = seek_time(time, code);
        detail::check(code);
        return seek_point;
    }
    playswarm_seek_point seek_time(std::chrono::microseconds time, error_code &code) {
        playswarm_seek_point seek_point{};
        seek_point.struct_size = sizeof seek_point;
        code = detail::attempt([&](auto e) { return playswarm_stream_seek_time(get(), time.count(), &seek_point, e); });
        return seek_point;
    }
    /// Returns the media time at the current position; negative while the timing of the file is
    /// unknown.
    std::chrono::microseconds time() const {
        std::int64_t time = 0;
        detail::check(playswarm_stream_time(get(), &time));
        return std::chrono::microseconds(time);
    }

    /// Whether there is a size, and other positions can be sought: not for live channels.
    bool has_size() const noexcept {
        std::uint64_t size = 0;
        return playswarm_stream_size(get(), &size) == PLAYSWARM_OK;
    }
    std::uint64_t size() const {
        std::uint64_t size = 0;
        detail::check(playswarm_stream_size(get(), &size));
        return size;
    }
    std::uint64_t position() const {
        std::uint64_t position = 0;
        detail::check(playswarm_stream_position(get(), &position));
        return position;
    }
    /// Returns the number of bytes that can be read from `position` without waiting for the swarm.
    std::uint64_t readable_at(std::uint64_t position) const {
        std::uint64_t readable = 0;
        detail::check(playswarm_stream_readable_at(get(), position, &readable));
        return readable;
    }
    void set_rate(double bytes_per_s) { detail::check(playswarm_stream_set_rate(get(), bytes_per_s)); }

    /// Ends waiting reads, and makes later ones fail until clear_cancel().
    void cancel() { detail::check(playswarm_stream_cancel(get())); }
    void clear_cancel() { detail::check(playswarm_stream_reset(get())); }
    bool is_cancelled() const noexcept { return playswarm_stream_is_cancelled(get()) != 0; }

    /// Returns a descriptor for poll(). It becomes readable when readable_at() should be checked.
    /// Do not close it.
    int eventfd() {
        int fd = -1;
        detail::check(detail::attempt([&](auto e) { return playswarm_stream_eventfd(get(), &fd, e); }));
        return fd;
    }

    /// Registers a callback that runs on the session's callback thread when readable_at() should be
    /// checked. An empty function removes it.
    void on_readable(std::function<void()> callback);
};

/// Properties of a file in a torrent.
struct file_info {
    std::string name;
    std::string content_type;
    std::uint64_t length;
    bool is_playable;
    bool is_padding;
};

/// An event: see playswarm_event. It is valid until the callback returns.
using event = playswarm_event;

/// A running RTSP server of one torrent, which it keeps open. Destroying the last owner ends it.
class rtsp_server
    : public detail::handle<playswarm_rtsp_server, playswarm_rtsp_server_ref, playswarm_rtsp_server_unref> {
public:
    using handle::handle;

    /// Returns the URL of the server's file, with the token.
    std::string url() const { return playswarm_rtsp_server_url(get()); }
    /// Returns the sessions of players as a JSON array.
    std::string sessions_json() const {
        char *raw = nullptr;
        detail::check(detail::attempt([&](auto e) { return playswarm_rtsp_server_sessions_json(get(), &raw, e); }));
        return detail::text(raw);
    }
};

/// An open torrent.
class torrent : public detail::handle<playswarm_torrent, playswarm_torrent_ref, playswarm_torrent_unref> {
public:
    using handle::handle;

    /// Returns another owner of the same torrent.
    torrent share() const { return torrent(handle::share()); }

    std::string name() const { return playswarm_torrent_name(get()); }
    std::array<std::uint8_t, 20> info_hash() const {
        std::array<std::uint8_t, 20> hash{};
        detail::check(playswarm_torrent_info_hash(get(), hash.data()));
        return hash;
    }
    std::size_t file_count() const {
        std::size_t count = 0;
        detail::check(playswarm_torrent_file_count(get(), &count));
        return count;
    }
    file_info file(std::size_t index) const {
        playswarm_file_info raw{};
        raw.struct_size = sizeof raw;
        detail::check(detail::attempt([&](auto e) { return playswarm_torrent_file(get(), index, &raw, e); }));
        return {raw.name, raw.content_type, raw.length, raw.is_playable != 0, raw.is_padding != 0};
    }
    std::vector<file_info> files() const {
        std::vector<file_info> files;
        for (std::size_t i = 0, n = file_count(); i < n; ++i)
            files.push_back(file(i));
        return files;
    }
    /// Returns the file to play by default.
    std::size_t default_file() const {
        std::size_t index = 0;
        detail::check(detail::attempt([&](auto e) { return playswarm_torrent_default_file(get(), &index, e); }));
        return index;
    }
    /// Returns the file to play by default. Also reads the first bytes of large files whose names tell
    /// nothing, and waits for them.
    std::size_t choose_file(const canceller *cancel = nullptr) {
        std::size_t index = 0;
        detail::check(detail::attempt([&](auto e) {
            return playswarm_torrent_choose_file(get(), cancel ? cancel->get() : nullptr, &index, e);
        }));
        return index;
    }
    /// Finds a file by its index, its name or a part of its name.
    std::size_t find_file(const std::string &wanted) const {
        std::size_t index = 0;
        detail::check(
            detail::attempt([&](auto e) { return playswarm_torrent_find_file(get(), wanted.c_str(), &index, e); }));
        return index;
    }
    playswarm::stream stream(std::size_t file) {
        playswarm_stream *raw = nullptr;
        detail::check(detail::attempt([&](auto e) { return playswarm_torrent_stream(get(), file, &raw, e); }));
        return playswarm::stream(raw);
    }
    playswarm::stream stream() { return stream(default_file()); }

    /// Serves the files over RTSP. `listen` is an IP address and a port; empty: loopback and any free
    /// port. With a token, clients need it.
    rtsp_server serve_rtsp(std::size_t file, const std::string &listen = {}, const std::string &token = {}) {
        playswarm_rtsp_server *raw = nullptr;
        detail::check(detail::attempt([&](auto e) {
            return playswarm_torrent_serve_rtsp(get(), file, listen.empty() ? nullptr : listen.c_str(),
                                                token.empty() ? nullptr : token.c_str(), &raw, e);
        }));
        return rtsp_server(raw);
    }

    /// Returns the timing information of a file: duration, keyframes. Waits for its index.
    playswarm_time_info time(std::size_t file, const canceller *cancel = nullptr) {
        playswarm_time_info info{};
        info.struct_size = sizeof info;
        detail::check(detail::attempt(
            [&](auto e) { return playswarm_torrent_get_time(get(), file, cancel ? cancel->get() : nullptr, &info, e); }));
        return info;
    }

    void prefetch(std::size_t file) { detail::check(playswarm_torrent_prefetch(get(), file)); }
    void fetch_all(bool on = true) { detail::check(playswarm_torrent_fetch_all(get(), on)); }
    void add_peer(const std::string &address) {
        detail::check(detail::attempt([&](auto e) { return playswarm_torrent_add_peer(get(), address.c_str(), e); }));
    }
    /// Adds a mirror: the URL of a web server that has the torrent's file, or the folder of its files.
    void add_source(const std::string &url) {
        detail::check(detail::attempt([&](auto e) { return playswarm_torrent_add_source(get(), url.c_str(), e); }));
    }
    /// Checks the files in the download folder and accepts correct pieces. Returns their size in
    /// bytes.
    std::uint64_t recheck(const canceller *cancel = nullptr) {
        std::uint64_t bytes = 0;
        detail::check(detail::attempt([&](auto e) {
            return playswarm_torrent_recheck(get(), cancel ? cancel->get() : nullptr, &bytes, e);
        }));
        return bytes;
    }
    /// Waits until all verified data is on disk.
    void sync(const canceller *cancel = nullptr) {
        detail::check(
            detail::attempt([&](auto e) { return playswarm_torrent_sync(get(), cancel ? cancel->get() : nullptr, e); }));
    }

    playswarm_torrent_status status() const {
        playswarm_torrent_status status{};
        status.struct_size = sizeof status;
        detail::check(detail::attempt([&](auto e) { return playswarm_torrent_get_status(get(), &status, e); }));
        return status;
    }
    std::string status_json() const {
        char *raw = nullptr;
        detail::check(detail::attempt([&](auto e) { return playswarm_torrent_status_json(get(), &raw, e); }));
        return detail::text(raw);
    }
    /// Returns the reason why nothing can be downloaded, as a sentence. It is empty if the download
    /// can continue.
    std::string trouble() const {
        char *raw = nullptr;
        detail::check(playswarm_torrent_trouble(get(), &raw));
        return detail::text(raw);
    }
    /// Returns one character per piece: '#' available, '+' being downloaded, '.' missing.
    std::string piece_map() const {
        std::string map(status().pieces, '.');
        std::size_t pieces = 0;
        detail::check(detail::attempt(
            [&](auto e) { return playswarm_torrent_piece_map(get(), map.data(), map.size(), &pieces, e); }));
        return map;
    }

    /// Registers a callback that runs on the session's callback thread with each event, and with
    /// the status every `interval_ms` unless that is 0. An empty function removes it. Exceptions of
    /// the callback are discarded, because none may pass through C.
    void on_event(std::uint64_t interval_ms, std::function<void(const event &)> callback);
};

/// A live channel that is watched or passed on.
class channel : public detail::handle<playswarm_channel, playswarm_channel_ref, playswarm_channel_unref> {
public:
    using handle::handle;

    /// Returns another owner of the same channel.
    channel share() const { return channel(handle::share()); }

    std::string link() const {
        char *raw = nullptr;
        detail::check(detail::attempt([&](auto e) { return playswarm_channel_link(get(), &raw, e); }));
        return detail::text(raw);
    }
    /// Waits until a player can begin, and returns the description of the stream. A `timeout_ms` of 0
    /// means no timeout.
    playswarm_channel_head on_air(std::uint64_t timeout_ms = 0, const canceller *cancel = nullptr) const {
        playswarm_channel_head head{};
        head.struct_size = sizeof head;
        detail::check(detail::attempt([&](auto e) {
            return playswarm_channel_on_air(get(), timeout_ms, cancel ? cancel->get() : nullptr, &head, e);
        }));
        return head;
    }
    playswarm_channel_head head() const {
        playswarm_channel_head head{};
        head.struct_size = sizeof head;
        detail::check(detail::attempt([&](auto e) { return playswarm_channel_get_head(get(), &head, e); }));
        return head;
    }
    playswarm_channel_status status() const {
        playswarm_channel_status status{};
        status.struct_size = sizeof status;
        detail::check(detail::attempt([&](auto e) { return playswarm_channel_get_status(get(), &status, e); }));
        return status;
    }
    std::string status_json() const {
        char *raw = nullptr;
        detail::check(detail::attempt([&](auto e) { return playswarm_channel_status_json(get(), &raw, e); }));
        return detail::text(raw);
    }
    /// Opens the stream at the present.
    playswarm::stream stream() {
        playswarm_stream *raw = nullptr;
        detail::check(detail::attempt([&](auto e) { return playswarm_channel_stream(get(), &raw, e); }));
        return playswarm::stream(raw);
    }
    /// Leaves the channel, for all its owners in the session. Waits up to 2 s for the nodes that are
    /// fed here.
    void leave() {
        detail::check(detail::attempt([&](auto e) { return playswarm_channel_leave(get(), e); }));
    }
};

/// The seed of a channel's secret key.
using seed = std::array<std::uint8_t, PLAYSWARM_SEED_BYTES>;

/// Draws the seed of a new channel.
inline seed new_seed() {
    seed drawn{};
    detail::check(detail::attempt([&](auto e) { return playswarm_seed_new(drawn.data(), e); }));
    return drawn;
}

/// The source of a live channel. Destroying the last owner takes the channel off the air.
class cast : public detail::handle<playswarm_cast, playswarm_cast_ref, playswarm_cast_unref> {
public:
    using handle::handle;

    /// Returns the link for viewers.
    std::string link() const {
        char *raw = nullptr;
        detail::check(detail::attempt([&](auto e) { return playswarm_cast_link(get(), &raw, e); }));
        return detail::text(raw);
    }
    /// Sends bytes of the stream, which may end anywhere. Never waits.
    void write(const void *data, std::size_t length) {
        detail::check(detail::attempt([&](auto e) { return playswarm_cast_write(get(), data, length, e); }));
    }
    /// Tells viewers the title of what is playing. An empty one takes it back.
    void set_title(const std::string &title) {
        detail::check(detail::attempt([&](auto e) { return playswarm_cast_set_title(get(), title.c_str(), e); }));
    }
    /// Ends the stream.
    void end() {
        detail::check(detail::attempt([&](auto e) { return playswarm_cast_end(get(), e); }));
    }
    playswarm_channel_status status() const {
        playswarm_channel_status status{};
        status.struct_size = sizeof status;
        detail::check(detail::attempt([&](auto e) { return playswarm_cast_get_status(get(), &status, e); }));
        return status;
    }
};

/// The root object: one listener, one DHT node, any number of torrents and live channels.
class session : public detail::handle<playswarm_session, playswarm_session_ref, playswarm_session_unref> {
public:
    /// Starts a session with default settings.
    session() { start(nullptr); }
    explicit session(const config &config) { start(config.get()); }

    /// Opens a source as a user types it: a magnet link, an info-hash, or the path or URL of a
    /// torrent file. A `timeout_ms` of 0 means no timeout.
    torrent open(const std::string &source, std::uint64_t timeout_ms = 0, const canceller *cancel = nullptr) {
        error_code code;
        torrent opened = open(source, timeout_ms, cancel, code);
        detail::check(code);
        return opened;
    }
    torrent open(const std::string &source, std::uint64_t timeout_ms, const canceller *cancel, error_code &code) {
        return opened(code, [&](auto raw, auto e) {
            return playswarm_session_open(get(), source.c_str(), timeout_ms, cancel ? cancel->get() : nullptr, raw, e);
        });
    }
    /// Opens the content of a torrent file.
    torrent open_bytes(std::string_view metainfo, std::uint64_t timeout_ms = 0, const canceller *cancel = nullptr) {
        error_code code;
        torrent result = opened(code, [&](auto raw, auto e) {
            return playswarm_session_open_bytes(get(), reinterpret_cast<const std::uint8_t *>(metainfo.data()),
                                                metainfo.size(), timeout_ms, cancel ? cancel->get() : nullptr, raw, e);
        });
        detail::check(code);
        return result;
    }
    /// Opens a torrent by its info-hash.
    torrent open_info_hash(const std::array<std::uint8_t, 20> &hash, std::uint64_t timeout_ms = 0,
                         const canceller *cancel = nullptr) {
        error_code code;
        torrent result = opened(code, [&](auto raw, auto e) {
            return playswarm_session_open_info_hash(get(), hash.data(), timeout_ms, cancel ? cancel->get() : nullptr,
                                                    raw, e);
        });
        detail::check(code);
        return result;
    }

    /// Opens a torrent or a link to a live channel, and returns a reader of it. `file` is the file of a
    /// torrent; empty: its default file.
    playswarm::stream open_stream(const std::string &source, const std::string &file = {},
                                  std::uint64_t timeout_ms = 0, const canceller *cancel = nullptr) {
        playswarm_stream *raw = nullptr;
        detail::check(detail::attempt([&](auto e) {
            return playswarm_session_open_stream(get(), source.c_str(), file.empty() ? nullptr : file.c_str(),
                                                 timeout_ms, cancel ? cancel->get() : nullptr, &raw, e);
        }));
        return playswarm::stream(raw);
    }
    /// Joins a live channel. Does not wait.
    channel watch(const std::string &link) {
        playswarm_channel *raw = nullptr;
        detail::check(detail::attempt([&](auto e) { return playswarm_session_watch(get(), link.c_str(), &raw, e); }));
        return channel(raw);
    }
    /// Begins to cast a live channel. Without a seed it is a new one. An empty `content_type` is
    /// detected, and a `bytes_per_s` of 0 stands for 3 Mbit/s.
    playswarm::cast cast(const std::string &name = {}, const seed *key = nullptr, const std::string &content_type = {},
                         std::uint32_t bytes_per_s = 0) {
        playswarm_cast *raw = nullptr;
        detail::check(detail::attempt([&](auto e) {
            return playswarm_session_cast(get(), key ? key->data() : nullptr, name.c_str(),
                                          content_type.empty() ? nullptr : content_type.c_str(), bytes_per_s, &raw, e);
        }));
        return playswarm::cast(raw);
    }

    std::uint16_t port() const {
        std::uint16_t port = 0;
        detail::check(playswarm_session_port(get(), &port));
        return port;
    }
    /// Returns the progress of the magnet links that other threads are opening, as a JSON array.
    std::string opening_json() const {
        char *raw = nullptr;
        detail::check(detail::attempt([&](auto e) { return playswarm_session_opening_json(get(), &raw, e); }));
        return detail::text(raw);
    }
    /// Closes the session. Waiting calls in other threads fail with PLAYSWARM_CLOSED.
    void close() {
        detail::check(detail::attempt([&](auto e) { return playswarm_session_close(get(), e); }));
    }

private:
    void start(const playswarm_config *config) {
        playswarm_session *raw = nullptr;
        detail::check(
            detail::attempt([&](auto e) { return playswarm_session_new(PLAYSWARM_ABI_VERSION, config, &raw, e); }));
        reset(raw);
    }
    template <class Open> static torrent opened(error_code &code, Open &&open) {
        playswarm_torrent *raw = nullptr;
        code = detail::attempt([&](auto e) { return open(&raw, e); });
        return torrent(raw);
    }
};

/// A callback for log lines up to `level` (PLAYSWARM_LOG_ERROR to _TRACE). An empty function ends
/// logging.
using log_callback = std::function<void(playswarm_log_level level, const char *target, const char *message)>;

namespace detail {

/// Passes a std::function to C, which owns it after a successful `set`.
template <class Function, class Set> void hand_over(Function &&function, Set &&set) {
    using Owned = std::decay_t<Function>;
    if (!function) {
        check(attempt([&](auto e) { return set(nullptr, nullptr, e); }));
        return;
    }
    auto owned = std::make_unique<Owned>(std::forward<Function>(function));
    playswarm_finalizer finalizer = [](void *data) { delete static_cast<Owned *>(data); };
    check(attempt([&](auto e) { return set(owned.get(), finalizer, e); }));
    static_cast<void>(owned.release());
}

} // namespace detail

inline void stream::on_readable(std::function<void()> callback) {
    using Function = decltype(callback);
    playswarm_readable_callback call = [](void *data) {
        try {
            (*static_cast<Function *>(data))();
        } catch (...) {
        }
    };
    detail::hand_over(std::move(callback), [&](void *data, playswarm_finalizer finalizer, playswarm_error **e) {
        return playswarm_stream_set_readable_callback(get(), data ? call : nullptr, data, finalizer, e);
    });
}

inline void torrent::on_event(std::uint64_t interval_ms, std::function<void(const event &)> callback) {
    using Function = decltype(callback);
    playswarm_event_callback call = [](void *data, const playswarm_event *event) {
        try {
            (*static_cast<Function *>(data))(*event);
        } catch (...) {
        }
    };
    detail::hand_over(std::move(callback), [&](void *data, playswarm_finalizer finalizer, playswarm_error **e) {
        return playswarm_torrent_set_event_callback(get(), interval_ms, data ? call : nullptr, data, finalizer, e);
    });
}

inline void set_log(int level, log_callback callback) {
    playswarm_log_callback call = [](void *data, playswarm_log_level level, const char *target, const char *message) {
        try {
            (*static_cast<log_callback *>(data))(level, target, message);
        } catch (...) {
        }
    };
    detail::hand_over(std::move(callback), [&](void *data, playswarm_finalizer finalizer, playswarm_error **e) {
        return playswarm_set_log_callback(level, data ? call : nullptr, data, finalizer, e);
    });
}

/// A stream as a read-only std::streambuf, for std::istream and similar users. Files are seekable. An istream
/// catches exceptions thrown here and sets badbit, unless its exceptions() mask says otherwise.
/// error() returns the cause.
class streambuf : public std::streambuf {
public:
    explicit streambuf(stream from, std::size_t buffer_bytes = 256 << 10)
        : stream_(std::move(from)), buffer_(buffer_bytes ? buffer_bytes : 1) {}

    stream &source() noexcept { return stream_; }
    /// Returns the error that ended the last read, if any.
    const error_code &error() const noexcept { return error_; }

protected:
    int_type underflow() override {
        if (gptr() < egptr())
            return traits_type::to_int_type(*gptr());
        std::size_t n = stream_.read(buffer_.data(), buffer_.size(), error_);
        setg(buffer_.data(), buffer_.data(), buffer_.data() + n);
        detail::check(error_);
        return n ? traits_type::to_int_type(*gptr()) : traits_type::eof();
    }

    std::streamsize xsgetn(char *to, std::streamsize wanted) override {
        std::streamsize got = 0;
        while (got < wanted) {
            std::streamsize here = egptr() - gptr();
            if (here > 0) {
                std::streamsize n = here < wanted - got ? here : wanted - got;
                traits_type::copy(to + got, gptr(), static_cast<std::size_t>(n));
                setg(eback(), gptr() + n, egptr());
                got += n;
            } else if (static_cast<std::size_t>(wanted - got) >= buffer_.size()) {
                // Reads of at least the buffer size go directly to the caller.
                std::size_t n = stream_.read(to + got, static_cast<std::size_t>(wanted - got), error_);
                detail::check(error_);
                if (n == 0)
                    break;
                got += static_cast<std::streamsize>(n);
            } else if (underflow() == traits_type::eof()) {
                break;
            }
        }
        return got;
    }

    std::streamsize showmanyc() override {
        std::uint64_t readable = stream_.readable_at(stream_.position());
        if (readable == 0)
            return stream_.has_size() && stream_.position() >= stream_.size() ? -1 : 0;
        return readable > static_cast<std::uint64_t>(PTRDIFF_MAX) ? PTRDIFF_MAX : static_cast<std::streamsize>(readable);
    }

    pos_type seekoff(off_type offset, std::ios_base::seekdir from, std::ios_base::openmode which) override {
        if (!(which & std::ios_base::in))
            return pos_type(off_type(-1));
        const off_type here = static_cast<off_type>(stream_.position()) - (egptr() - gptr());
        if (from == std::ios_base::cur && offset == 0)
            return pos_type(here); // tellg() keeps the buffer
        int whence = PLAYSWARM_SEEK_SET;
        if (from == std::ios_base::end) {
            whence = PLAYSWARM_SEEK_END;
        } else if (from == std::ios_base::cur) {
            if (offset > 0 && here > INT64_MAX - offset)
                return pos_type(off_type(-1));
            offset += here;
        }
        error_code code;
        std::uint64_t position = stream_.seek(offset, whence, code);
        if (code)
            return pos_type(off_type(-1));
        setg(buffer_.data(), buffer_.data(), buffer_.data());
        return pos_type(static_cast<off_type>(position));
    }

    pos_type seekpos(pos_type position, std::ios_base::openmode which) override {
        return seekoff(off_type(position), std::ios_base::beg, which);
    }

private:
    stream stream_;
    std::vector<char> buffer_;
    error_code error_;
};

/// A std::istream over a stream.
class istream : public std::istream {
public:
    explicit istream(stream from) : std::istream(nullptr), buffer_(std::move(from)) { rdbuf(&buffer_); }
    stream &source() noexcept { return buffer_.source(); }
    const error_code &error() const noexcept { return buffer_.error(); }

private:
    streambuf buffer_;
};

} // namespace playswarm

#endif
