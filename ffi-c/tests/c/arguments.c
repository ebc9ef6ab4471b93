/* Invalid arguments other than NULL: sizes, versions, lengths, positions, settings. */
#include "common.h"

static void versions(void) {
    playswarm_session *session = NULL;
    playswarm_error *error = NULL;
    const uint32_t wrong[] = {0, PLAYSWARM_ABI_VERSION + 1, PLAYSWARM_ABI_VERSION + 0x10000, UINT32_MAX};
    for (size_t i = 0; i < sizeof wrong / sizeof *wrong; i++) {
        SAYS(PLAYSWARM_BAD_ARGUMENT, "compile it again", error,
             playswarm_session_new(wrong[i], NULL, &session, &error));
        CHECK(session == NULL);
    }
}

static void settings(const given *g) {
    playswarm_config *config = NULL;
    playswarm_error *error = NULL;
    OK(playswarm_config_new(&config, NULL));
    SAYS(PLAYSWARM_BAD_CONFIG, "no_such", error, playswarm_config_set(config, "no_such", "1", &error));
    SAYS(PLAYSWARM_BAD_CONFIG, "dht", error, playswarm_config_set(config, "dht", "perhaps", &error));
    SAYS(PLAYSWARM_BAD_CONFIG, "max_peers", error, playswarm_config_set(config, "max_peers", "-1", &error));
    SAYS(PLAYSWARM_BAD_ARGUMENT, "UTF-8", error, playswarm_config_set(config, "dir", "\xff", &error));
    OK(playswarm_config_set(config, "advanced.picker.seed", "7", NULL));
    OK(playswarm_config_set(config, "dir", g->folder, NULL));
    char *json = NULL;
    OK(playswarm_config_to_json(config, &json, NULL));
    CHECK(strstr(json, "\"seed\":7") && strstr(json, g->folder));
    playswarm_config *again = NULL;
    OK(playswarm_config_from_json(json, &again, NULL));
    OK(playswarm_string_free(json));
    OK(playswarm_config_unref(again));
    SAYS(PLAYSWARM_BAD_CONFIG, "JSON", error, playswarm_config_from_json("{\"dir\":", &again, &error));
    SAYS(PLAYSWARM_BAD_CONFIG, "extra", error, playswarm_config_from_json("{\"extra\":1}", &again, &error));
    CHECK(again == NULL);
    /* Contradictions between settings are found when the session starts. */
    playswarm_session *session = NULL;
    OK(playswarm_config_set(config, "max_peers", "0", NULL));
    SAYS(PLAYSWARM_BAD_CONFIG, "max_peers", error,
         playswarm_session_new(PLAYSWARM_ABI_VERSION, config, &session, &error));
    OK(playswarm_config_set(config, "max_peers", "8", NULL));
    OK(playswarm_config_set(config, "listen", "192.0.2.1:1", NULL));
    SAYS(PLAYSWARM_LISTEN, "192.0.2.1", error, playswarm_session_new(PLAYSWARM_ABI_VERSION, config, &session, &error));
    OK(playswarm_config_set(config, "dir", "/dev/null/films", NULL));
    SAYS(PLAYSWARM_STORAGE, "/dev/null/films", error,
         playswarm_session_new(PLAYSWARM_ABI_VERSION, config, &session, &error));
    OK(playswarm_config_unref(config));
}

static void sources(const given *g, playswarm_session *session) {
    playswarm_torrent *torrent = NULL;
    playswarm_error *error = NULL;
    SAYS(PLAYSWARM_BAD_SOURCE, "it is empty", error, playswarm_session_open(session, " ", 0, NULL, &torrent, &error));
    SAYS(PLAYSWARM_BAD_SOURCE, "gopher", error,
         playswarm_session_open(session, "gopher://example.org/film", 0, NULL, &torrent, &error));
    SAYS(PLAYSWARM_BAD_SOURCE, "magnet", error, playswarm_session_open(session, "magnet:?dn=film", 0, NULL, &torrent, &error));
    SAYS(PLAYSWARM_STORAGE, "nowhere", error,
         playswarm_session_open_file(session, "/nowhere/film.torrent", 0, NULL, &torrent, &error));
    SAYS(PLAYSWARM_BAD_SOURCE, "folder", error, playswarm_session_open_file(session, g->folder, 0, NULL, &torrent, &error));
    SAYS(PLAYSWARM_STORAGE, "cannot read", error,
         playswarm_session_open_file(session, "\xff\xfe", 0, NULL, &torrent, &error));
    SAYS(PLAYSWARM_BAD_TORRENT, "cannot be used", error,
         playswarm_session_open_bytes(session, g->film, 1000, 0, NULL, &torrent, &error));
    SAYS(PLAYSWARM_BAD_TORRENT, "cannot be used", error,
         playswarm_session_open_bytes(session, g->film, 0, 0, NULL, &torrent, &error));
    SAYS(PLAYSWARM_BAD_ARGUMENT, "is too large", error,
         playswarm_session_open_bytes(session, g->film, SIZE_MAX, 0, NULL, &torrent, &error));
    SAYS(PLAYSWARM_BAD_ARGUMENT, "is too large", error,
         playswarm_session_open_bytes(session, g->film, (size_t)PTRDIFF_MAX, 0, NULL, &torrent, &error));
    CHECK(torrent == NULL);
}

static void structs(playswarm_torrent *torrent) {
    playswarm_error *error = NULL;
    playswarm_torrent_status status;
    memset(&status, 0xab, sizeof status);
    const size_t wrong[] = {0, 1, sizeof(size_t), sizeof status - 1};
    for (size_t i = 0; i < sizeof wrong / sizeof *wrong; i++) {
        status.struct_size = wrong[i];
        SAYS(PLAYSWARM_BAD_ARGUMENT, "sizeof", error, playswarm_torrent_get_status(torrent, &status, &error));
        playswarm_file_info info = {.struct_size = wrong[i] < sizeof info ? wrong[i] : sizeof info - 1};
        SAYS(PLAYSWARM_BAD_ARGUMENT, "sizeof", error, playswarm_torrent_file(torrent, 0, &info, &error));
    }
    /* A struct of a later version: the library fills the fields that it knows, and returns their size. */
    struct {
        playswarm_torrent_status known;
        unsigned char later[64];
    } newer;
    memset(&newer, 0xab, sizeof newer);
    newer.known.struct_size = sizeof newer;
    OK(playswarm_torrent_get_status(torrent, &newer.known, NULL));
    CHECK(newer.known.struct_size == sizeof newer.known && newer.known.pieces > 0);
    for (size_t i = 0; i < sizeof newer.later; i++)
        CHECK(newer.later[i] == 0xab);

    playswarm_file_info info = {.struct_size = sizeof info};
    SAYS(PLAYSWARM_NO_SUCH_FILE, "no file 1", error, playswarm_torrent_file(torrent, 1, &info, &error));
    SAYS(PLAYSWARM_NO_SUCH_FILE, "no file", error, playswarm_torrent_file(torrent, SIZE_MAX, &info, &error));
    playswarm_stream *stream = NULL;
    SAYS(PLAYSWARM_NO_SUCH_FILE, "no file", error, playswarm_torrent_stream(torrent, SIZE_MAX, &stream, &error));
    size_t file = 0;
    SAYS(PLAYSWARM_NO_SUCH_FILE, "trailer", error, playswarm_torrent_find_file(torrent, "trailer", &file, &error));
    SAYS(PLAYSWARM_BAD_ARGUMENT, "not an address", error, playswarm_torrent_add_peer(torrent, "localhost", &error));
    SAYS(PLAYSWARM_BAD_ARGUMENT, "not an address", error, playswarm_torrent_add_peer(torrent, "1.2.3.4:99999", &error));
    SAYS(PLAYSWARM_BAD_ARGUMENT, "no http or https URL", error, playswarm_torrent_add_source(torrent, "ftp://h/f", &error));
    status.struct_size = sizeof status;
    OK(playswarm_torrent_get_status(torrent, &status, NULL));
    uint32_t before = status.sources;
    OK(playswarm_torrent_add_source(torrent, "http://127.0.0.1:1/film.mkv", NULL));
    OK(playswarm_torrent_get_status(torrent, &status, NULL));
    CHECK(status.sources == before + 1);
}

static uint64_t position_of(playswarm_stream *stream) {
    uint64_t position = 0;
    OK(playswarm_stream_position(stream, &position));
    return position;
}

static void seeks(const given *g, playswarm_stream *stream) {
    const int64_t size = (int64_t)g->size;
    playswarm_error *error = NULL;
    uint64_t position = 0, readable = 1;
    OK(playswarm_stream_seek(stream, -10, PLAYSWARM_SEEK_END, &position, NULL));
    CHECK(position == g->size - 10);
    OK(playswarm_stream_seek(stream, 4, PLAYSWARM_SEEK_CUR, &position, NULL));
    CHECK(position == g->size - 6);
    const struct {
        int64_t offset;
        int whence;
    } wrong[] = {
        {-1, PLAYSWARM_SEEK_SET},        {INT64_MIN, PLAYSWARM_SEEK_SET},     {-size - 1, PLAYSWARM_SEEK_END},
        {INT64_MIN, PLAYSWARM_SEEK_END}, {INT64_MAX, PLAYSWARM_SEEK_END},     {INT64_MAX, PLAYSWARM_SEEK_CUR},
        {INT64_MIN, PLAYSWARM_SEEK_CUR}, {-(size - 6) - 1, PLAYSWARM_SEEK_CUR}, {0, 3}, {0, -1}, {0, INT32_MAX},
    };
    for (size_t i = 0; i < sizeof wrong / sizeof *wrong; i++) {
        position = 7;
        FAILS(PLAYSWARM_BAD_ARGUMENT, playswarm_stream_seek(stream, wrong[i].offset, wrong[i].whence, &position, &error));
        CHECK(strlen(playswarm_error_message(error)) > 10);
        OK(playswarm_error_unref(error));
        CHECK(position == 7 && position_of(stream) == g->size - 6);
    }
    /* A read beyond the end returns no bytes and no error. */
    const int64_t beyond[] = {size, size + 1, INT64_MAX};
    for (size_t i = 0; i < 3; i++) {
        char byte;
        size_t n = 7;
        OK(playswarm_stream_seek(stream, beyond[i], PLAYSWARM_SEEK_SET, NULL, NULL));
        OK(playswarm_stream_read(stream, &byte, 1, &n, NULL));
        CHECK(n == 0 && position_of(stream) == (uint64_t)beyond[i]);
        OK(playswarm_stream_readable_at(stream, (uint64_t)beyond[i], &readable));
        CHECK(readable == 0);
    }
    OK(playswarm_stream_readable_at(stream, UINT64_MAX, &readable));
    CHECK(readable == 0);
    const double no_rates[] = {0, -1, 1.0 / 0.0, -1.0 / 0.0, 0.0 / 0.0};
    for (size_t i = 0; i < sizeof no_rates / sizeof *no_rates; i++)
        FAILS(PLAYSWARM_BAD_ARGUMENT, playswarm_stream_set_rate(stream, no_rates[i]));
    OK(playswarm_stream_set_rate(stream, 1e6));
    OK(playswarm_stream_set_rate(stream, 1.7e308));
}

static void lengths(const given *g, playswarm_stream *stream) {
    /* A read returns at most one piece, however large the buffer is said to be. */
    unsigned char *buffer = malloc(g->size);
    size_t n = 0;
    OK(playswarm_stream_seek(stream, 100, PLAYSWARM_SEEK_SET, NULL, NULL));
    OK(playswarm_stream_read(stream, buffer, SIZE_MAX, &n, NULL));
    CHECK(n > 0 && n <= g->size && memcmp(buffer, g->film + 100, n) == 0);
    OK(playswarm_stream_seek(stream, 0, PLAYSWARM_SEEK_SET, NULL, NULL));
    OK(playswarm_stream_read(stream, buffer, (size_t)PTRDIFF_MAX + 1, &n, NULL));
    CHECK(n > 0 && memcmp(buffer, g->film, n) == 0);
    OK(playswarm_stream_read(stream, buffer, 0, &n, NULL));
    CHECK(n == 0);
    free(buffer);
}

static void searches(const given *g, playswarm_session *off) {
    playswarm_search *search = NULL;
    playswarm_error *error = NULL;
    SAYS(PLAYSWARM_BAD_CONFIG, "gnutella.enabled", error,
         playswarm_session_search(off, "bunny", NULL, 0, 0, &search, &error));
    playswarm_config *config = NULL;
    OK(playswarm_config_new(&config, NULL));
    const char *const settings[][2] = {{"dir", g->folder},       {"listen", "127.0.0.1:0"},
                                       {"dht", "false"},         {"lsd", "false"},
                                       {"port_map", "false"},    {"gnutella.enabled", "true"},
                                       {"gnutella.hosts", "127.0.0.1:1"}};
    for (size_t i = 0; i < sizeof settings / sizeof *settings; i++)
        OK(playswarm_config_set(config, settings[i][0], settings[i][1], NULL));
    playswarm_session *session = NULL;
    OK(playswarm_session_new(PLAYSWARM_ABI_VERSION, config, &session, NULL));
    OK(playswarm_config_unref(config));
    SAYS(PLAYSWARM_BAD_ARGUMENT, "word", error, playswarm_session_search(session, "!", NULL, 0, 0, &search, &error));
    SAYS(PLAYSWARM_BAD_ARGUMENT, "film", error,
         playswarm_session_search(session, "bunny", "film", 0, 0, &search, &error));
    CHECK(search == NULL);
    /* There is nobody. */
    char *json = NULL, *link = NULL;
    OK(playswarm_session_search(session, "bunny", "video", 200, 1, &search, NULL));
    SAYS(PLAYSWARM_TIMED_OUT, "servent", error, playswarm_search_next(search, 0, NULL, &json, &link, &error));
    OK(playswarm_search_hits_json(search, &json, NULL));
    CHECK(strcmp(json, "[]") == 0);
    OK(playswarm_string_free(json));
    OK(playswarm_search_ref(search));
    OK(playswarm_search_unref(search));
    OK(playswarm_search_unref(search));
    FAILS(PLAYSWARM_BAD_ARGUMENT, playswarm_search_unref(search));
    OK(playswarm_session_unref(session));
}

static void never_called(void *data, playswarm_log_level level, const char *target, const char *message) {
    (void)data, (void)level, (void)target, (void)message;
    CHECK(!"called");
}

int main(int argc, char **argv) {
    given g = begin(argc, argv);
    versions();
    settings(&g);
    playswarm_session *session = new_session(&g, g.peer);
    sources(&g, session);
    playswarm_torrent *torrent = open_media(&g, session);
    playswarm_stream *stream = open_stream(torrent);
    structs(torrent);
    seeks(&g, stream);
    lengths(&g, stream);
    searches(&g, session);
    FAILS(PLAYSWARM_BAD_ARGUMENT, playswarm_set_log_callback(0, never_called, NULL, NULL, NULL));
    FAILS(PLAYSWARM_BAD_ARGUMENT, playswarm_set_log_callback(6, never_called, NULL, NULL, NULL));
    OK(playswarm_stream_unref(stream));
    OK(playswarm_torrent_unref(torrent));
    OK(playswarm_session_unref(session));
    return end(&g);
}
