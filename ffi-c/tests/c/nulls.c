/* Every function with NULL for each pointer, with released handles, and with handles of another type. The
 * functions are compared with symbols.txt by tests/symbols.rs: a missing one is reported. */
#include "common.h"

#define BAD(call) FAILS(PLAYSWARM_BAD_ARGUMENT, call)
#define LINK "playswarm:RKEOHXLUBHYZL7KS3MWTZOS5OLFGOCN7DWKBEG7TOSEADNAPN5OA"

static void each(playswarm_config *config, playswarm_canceller *canceller, playswarm_session *session,
                 playswarm_torrent *torrent, playswarm_stream *stream, playswarm_error *dead_error) {
    playswarm_error *error = NULL;
    size_t n = 7;
    uint64_t u = 7;
    uint16_t port = 7;
    int32_t fd = 7;
    char *text = NULL;
    char buffer[16];
    uint8_t hash[20] = {0};
    playswarm_torrent *made_media = NULL;
    playswarm_stream *made_stream = NULL;
    playswarm_file_info info = {.struct_size = sizeof info};
    playswarm_torrent_status status = {.struct_size = sizeof status};

    BAD(playswarm_error_code(dead_error));
    CHECK(strcmp(playswarm_error_message(dead_error), "") == 0);
    BAD(playswarm_error_ref(dead_error));

    BAD(playswarm_config_set(config, "dht", "true", &error));
    OK(playswarm_error_unref(error));
    BAD(playswarm_config_to_json(config, &text, NULL));
    BAD(playswarm_config_ranges_json(config, &text, NULL));
    BAD(playswarm_config_ref(config));

    BAD(playswarm_canceller_cancel(canceller));
    BAD(playswarm_canceller_reset(canceller));
    CHECK(playswarm_canceller_is_cancelled(canceller) == 0);
    BAD(playswarm_canceller_ref(canceller));

    made_media = (playswarm_torrent *)buffer;
    BAD(playswarm_session_open(session, "x.torrent", 1, NULL, &made_media, &error));
    CHECK(made_media == NULL && error != NULL);
    OK(playswarm_error_unref(error));
    BAD(playswarm_session_open_file(session, "x.torrent", 1, NULL, &made_media, NULL));
    BAD(playswarm_session_open_bytes(session, hash, sizeof hash, 1, NULL, &made_media, NULL));
    BAD(playswarm_session_open_info_hash(session, hash, 1, NULL, &made_media, NULL));
    BAD(playswarm_session_port(session, &port));
    BAD(playswarm_session_opening_json(session, &text, NULL));
    made_stream = (playswarm_stream *)buffer;
    BAD(playswarm_session_open_stream(session, "x.torrent", NULL, 1, NULL, &made_stream, NULL));
    CHECK(made_stream == NULL);
    BAD(playswarm_session_close(session, NULL));
    BAD(playswarm_session_ref(session));

    playswarm_search *search = (playswarm_search *)buffer;
    BAD(playswarm_session_search(session, "words", NULL, 1, 1, &search, NULL));
    CHECK(search == NULL);
    search = (playswarm_search *)session;
    BAD(playswarm_search_next(search, 1, NULL, &text, NULL, NULL));
    BAD(playswarm_search_hits_json(search, &text, NULL));
    BAD(playswarm_search_ref(search));

    /* The handles of channels, by that of a session. */
    playswarm_channel *channel = (playswarm_channel *)buffer;
    playswarm_cast *cast = (playswarm_cast *)buffer;
    playswarm_channel_head head = {.struct_size = sizeof head};
    playswarm_channel_status place = {.struct_size = sizeof place};
    BAD(playswarm_session_watch(session, LINK, &channel, NULL));
    BAD(playswarm_session_cast(session, NULL, NULL, NULL, 0, &cast, NULL));
    CHECK(channel == NULL && cast == NULL);
    channel = (playswarm_channel *)session;
    cast = (playswarm_cast *)session;
    BAD(playswarm_channel_link(channel, &text, NULL));
    BAD(playswarm_channel_on_air(channel, 1, NULL, &head, NULL));
    BAD(playswarm_channel_get_head(channel, &head, NULL));
    BAD(playswarm_channel_get_status(channel, &place, NULL));
    BAD(playswarm_channel_status_json(channel, &text, NULL));
    made_stream = (playswarm_stream *)buffer;
    BAD(playswarm_channel_stream(channel, &made_stream, NULL));
    CHECK(made_stream == NULL);
    BAD(playswarm_channel_leave(channel, NULL));
    BAD(playswarm_channel_ref(channel));
    BAD(playswarm_channel_archive(channel, "x", NULL));
    BAD(playswarm_channel_wait_archived(channel, 1, NULL, NULL));
    BAD(playswarm_cast_archive(cast, "x", 0, NULL));
    BAD(playswarm_cast_wait_archived(cast, 1, NULL, NULL));
    BAD(playswarm_cast_link(cast, &text, NULL));
    BAD(playswarm_cast_write(cast, buffer, 1, NULL));
    BAD(playswarm_cast_end(cast, NULL));
    BAD(playswarm_cast_set_title(cast, "title", NULL));
    BAD(playswarm_cast_get_status(cast, &place, NULL));
    BAD(playswarm_cast_ref(cast));

    CHECK(strcmp(playswarm_torrent_name(torrent), "") == 0);
    BAD(playswarm_torrent_info_hash(torrent, hash));
    BAD(playswarm_torrent_file_count(torrent, &n));
    BAD(playswarm_torrent_file(torrent, 0, &info, NULL));
    BAD(playswarm_torrent_default_file(torrent, &n, NULL));
    BAD(playswarm_torrent_choose_file(torrent, NULL, &n, NULL));
    BAD(playswarm_torrent_find_file(torrent, "a", &n, NULL));
    playswarm_rtsp_server *server = (playswarm_rtsp_server *)buffer;
    BAD(playswarm_torrent_serve_rtsp(torrent, 0, NULL, NULL, &server, NULL));
    CHECK(server == NULL);
    server = (playswarm_rtsp_server *)torrent;
    CHECK(strcmp(playswarm_rtsp_server_url(server), "") == 0);
    BAD(playswarm_rtsp_server_sessions_json(server, &text, NULL));
    BAD(playswarm_rtsp_server_ref(server));
    made_stream = (playswarm_stream *)buffer;
    BAD(playswarm_torrent_stream(torrent, 0, &made_stream, NULL));
    CHECK(made_stream == NULL);
    BAD(playswarm_torrent_prefetch(torrent, 0));
    BAD(playswarm_torrent_fetch_all(torrent, 1));
    BAD(playswarm_torrent_add_peer(torrent, "127.0.0.1:1", NULL));
    BAD(playswarm_torrent_add_source(torrent, "http://127.0.0.1:1/", NULL));
    BAD(playswarm_torrent_recheck(torrent, NULL, &u, NULL));
    BAD(playswarm_torrent_sync(torrent, NULL, NULL));
    BAD(playswarm_torrent_get_status(torrent, &status, NULL));
    BAD(playswarm_torrent_status_json(torrent, &text, NULL));
    BAD(playswarm_torrent_trouble(torrent, &text));
    BAD(playswarm_torrent_piece_map(torrent, buffer, sizeof buffer, &n, NULL));
    BAD(playswarm_torrent_set_event_callback(torrent, 0, NULL, NULL, NULL, NULL));
    BAD(playswarm_torrent_ref(torrent));

    BAD(playswarm_stream_read(stream, buffer, sizeof buffer, &n, NULL));
    BAD(playswarm_stream_seek(stream, 0, PLAYSWARM_SEEK_SET, &u, NULL));
    BAD(playswarm_stream_size(stream, &u));
    BAD(playswarm_stream_position(stream, &u));
    BAD(playswarm_stream_readable_at(stream, 0, &u));
    BAD(playswarm_stream_set_rate(stream, 1.0));
    BAD(playswarm_stream_cancel(stream));
    BAD(playswarm_stream_reset(stream));
    CHECK(playswarm_stream_is_cancelled(stream) == 0);
    BAD(playswarm_stream_set_readable_callback(stream, NULL, NULL, NULL, NULL));
    BAD(playswarm_stream_eventfd(stream, &fd, NULL));
    BAD(playswarm_stream_ref(stream));

    int64_t time = 7;
    playswarm_time_info time_info = {.struct_size = sizeof time_info};
    playswarm_seek_point seek_point = {.struct_size = sizeof seek_point};
    BAD(playswarm_torrent_get_time(torrent, 0, NULL, &time_info, NULL));
    BAD(playswarm_stream_seek_time(stream, 0, &seek_point, NULL));
    BAD(playswarm_stream_time(stream, &time));
    CHECK(time == 7 && seek_point.position == 0);

    /* The failed calls returned no objects. */
    CHECK(n == 7 && u == 7 && port == 7 && fd == 7 && text == NULL && made_media == NULL);
}

static void channels(playswarm_session *session) {
    playswarm_channel *channel = NULL;
    playswarm_cast *cast = NULL;
    BAD(playswarm_seed_new(NULL, NULL));
    BAD(playswarm_session_watch(session, NULL, &channel, NULL));
    BAD(playswarm_session_watch(session, LINK, NULL, NULL));
    BAD(playswarm_session_cast(session, NULL, NULL, NULL, 0, NULL, NULL));
    OK(playswarm_session_watch(session, LINK, &channel, NULL));
    OK(playswarm_session_cast(session, NULL, NULL, NULL, 0, &cast, NULL));
    BAD(playswarm_channel_link(channel, NULL, NULL));
    FAILS(PLAYSWARM_TIMED_OUT, playswarm_channel_on_air(channel, 1, NULL, NULL, NULL));
    BAD(playswarm_channel_get_head(channel, NULL, NULL));
    BAD(playswarm_channel_get_status(channel, NULL, NULL));
    BAD(playswarm_channel_status_json(channel, NULL, NULL));
    BAD(playswarm_channel_stream(channel, NULL, NULL));
    BAD(playswarm_channel_archive(channel, NULL, NULL));
    OK(playswarm_channel_wait_archived(channel, 1, NULL, NULL));
    BAD(playswarm_cast_archive(cast, NULL, 0, NULL));
    OK(playswarm_cast_wait_archived(cast, 1, NULL, NULL));
    BAD(playswarm_cast_link(cast, NULL, NULL));
    BAD(playswarm_cast_write(cast, NULL, 1, NULL));
    BAD(playswarm_cast_set_title(cast, NULL, NULL));
    OK(playswarm_cast_write(cast, NULL, 0, NULL));
    BAD(playswarm_cast_get_status(cast, NULL, NULL));
    OK(playswarm_channel_unref(channel));
    OK(playswarm_cast_unref(cast));
    BAD(playswarm_channel_unref(channel));
    BAD(playswarm_cast_unref(cast));
}

static void live(playswarm_config *config, playswarm_canceller *canceller, playswarm_session *session,
                 playswarm_torrent *torrent, playswarm_stream *stream) {
    char buffer[16];
    uint8_t hash[20] = {0};
    size_t n = 0;
    playswarm_torrent *made = NULL;
    playswarm_session *made_session = NULL;
    playswarm_config *made_config = NULL;

    BAD(playswarm_config_new(NULL, NULL));
    BAD(playswarm_config_from_json(NULL, &made_config, NULL));
    BAD(playswarm_config_from_json("{}", NULL, NULL));
    BAD(playswarm_config_set(config, NULL, "true", NULL));
    BAD(playswarm_config_set(config, "dht", NULL, NULL));
    BAD(playswarm_config_to_json(config, NULL, NULL));
    BAD(playswarm_config_ranges_json(config, NULL, NULL));
    BAD(playswarm_canceller_new(NULL, NULL));

    BAD(playswarm_session_new(PLAYSWARM_ABI_VERSION, config, NULL, NULL));
    BAD(playswarm_session_open(session, NULL, 1, canceller, &made, NULL));
    BAD(playswarm_session_open(session, "x", 1, canceller, NULL, NULL));
    BAD(playswarm_session_open_file(session, NULL, 1, NULL, &made, NULL));
    BAD(playswarm_session_open_file(session, "x", 1, NULL, NULL, NULL));
    BAD(playswarm_session_open_bytes(session, NULL, 9, 1, NULL, &made, NULL));
    BAD(playswarm_session_open_bytes(session, hash, 9, 1, NULL, NULL, NULL));
    BAD(playswarm_session_open_info_hash(session, NULL, 1, NULL, &made, NULL));
    BAD(playswarm_session_open_info_hash(session, hash, 1, NULL, NULL, NULL));
    BAD(playswarm_session_port(session, NULL));
    BAD(playswarm_session_opening_json(session, NULL, NULL));
    playswarm_stream *made_stream = NULL;
    BAD(playswarm_session_open_stream(session, NULL, NULL, 1, NULL, &made_stream, NULL));
    BAD(playswarm_session_open_stream(session, LINK, NULL, 1, NULL, NULL, NULL));
    channels(session);

    BAD(playswarm_torrent_info_hash(torrent, NULL));
    BAD(playswarm_torrent_file_count(torrent, NULL));
    BAD(playswarm_torrent_file(torrent, 0, NULL, NULL));
    BAD(playswarm_torrent_default_file(torrent, NULL, NULL));
    BAD(playswarm_torrent_choose_file(torrent, NULL, NULL, NULL));
    BAD(playswarm_torrent_serve_rtsp(torrent, 0, NULL, NULL, NULL, NULL));
    BAD(playswarm_torrent_find_file(torrent, NULL, &n, NULL));
    BAD(playswarm_torrent_find_file(torrent, "film", NULL, NULL));
    BAD(playswarm_torrent_stream(torrent, 0, NULL, NULL));
    BAD(playswarm_torrent_add_peer(torrent, NULL, NULL));
    BAD(playswarm_torrent_add_source(torrent, NULL, NULL));
    OK(playswarm_torrent_recheck(torrent, NULL, NULL, NULL));
    BAD(playswarm_torrent_get_status(torrent, NULL, NULL));
    BAD(playswarm_torrent_status_json(torrent, NULL, NULL));
    BAD(playswarm_torrent_trouble(torrent, NULL));
    BAD(playswarm_torrent_piece_map(torrent, NULL, 5, &n, NULL));
    BAD(playswarm_torrent_piece_map(torrent, buffer, sizeof buffer, NULL, NULL));
    OK(playswarm_torrent_piece_map(torrent, NULL, 0, &n, NULL));
    CHECK(n > 0);
    OK(playswarm_torrent_set_event_callback(torrent, 0, NULL, NULL, NULL, NULL));

    BAD(playswarm_stream_read(stream, NULL, 1, &n, NULL));
    BAD(playswarm_stream_read(stream, buffer, 1, NULL, NULL));
    OK(playswarm_stream_read(stream, NULL, 0, &n, NULL));
    CHECK(n == 0);
    OK(playswarm_stream_seek(stream, 1, PLAYSWARM_SEEK_SET, NULL, NULL));
    BAD(playswarm_stream_size(stream, NULL));
    BAD(playswarm_stream_position(stream, NULL));
    BAD(playswarm_stream_readable_at(stream, 0, NULL));
    BAD(playswarm_stream_eventfd(stream, NULL, NULL));
    BAD(playswarm_torrent_get_time(torrent, 0, NULL, NULL, NULL));
    BAD(playswarm_stream_time(stream, NULL));
    OK(playswarm_stream_set_readable_callback(stream, NULL, NULL, NULL, NULL));
    OK(playswarm_set_log_callback(0, NULL, NULL, NULL, NULL));
    CHECK(made == NULL && made_session == NULL && made_config == NULL);
}

int main(int argc, char **argv) {
    given g = begin(argc, argv);
    CHECK(playswarm_abi_version() == PLAYSWARM_ABI_VERSION && playswarm_version() != NULL);
    CHECK(playswarm_code_name(99) == NULL && playswarm_code_description(-1) == NULL);
    CHECK(playswarm_event_kind_name(0) == NULL && strcmp(playswarm_event_kind_name(12), "closed") == 0);
    CHECK(playswarm_log_level_name(6) == NULL && strcmp(playswarm_log_level_name(1), "error") == 0);
    CHECK(playswarm_code_is_temporary(PLAYSWARM_DISK_FULL) == 1 && playswarm_code_is_temporary(0) == 0);

    each(NULL, NULL, NULL, NULL, NULL, NULL);
    OK(playswarm_error_unref(NULL));
    OK(playswarm_config_unref(NULL));
    OK(playswarm_canceller_unref(NULL));
    OK(playswarm_session_unref(NULL));
    OK(playswarm_torrent_unref(NULL));
    OK(playswarm_stream_unref(NULL));
    OK(playswarm_rtsp_server_unref(NULL));
    OK(playswarm_channel_unref(NULL));
    OK(playswarm_cast_unref(NULL));
    OK(playswarm_search_unref(NULL));
    OK(playswarm_string_free(NULL));

    playswarm_config *config = NULL;
    playswarm_canceller *canceller = NULL;
    OK(playswarm_config_new(&config, NULL));
    OK(playswarm_canceller_new(&canceller, NULL));
    playswarm_session *session = new_session(&g, NULL);
    playswarm_torrent *torrent = open_media(&g, session);
    playswarm_stream *stream = open_stream(torrent);
    CHECK(playswarm_live_handles() == 5);
    live(config, canceller, session, torrent, stream);
    CHECK(playswarm_live_handles() == 5);

    /* A handle of another type, and a number that is no handle. */
    each((playswarm_config *)torrent, (playswarm_canceller *)stream, (playswarm_session *)config,
         (playswarm_torrent *)session, (playswarm_stream *)canceller, (playswarm_error *)session);
    BAD(playswarm_stream_unref((playswarm_stream *)torrent));
    BAD(playswarm_torrent_unref((playswarm_torrent *)&g));
    BAD(playswarm_string_free((char *)&g));
    playswarm_torrent *made = NULL;
    BAD(playswarm_session_open(session, g.torrent, 0, (playswarm_canceller *)torrent, &made, NULL));
    playswarm_session *none = session;
    BAD(playswarm_session_new(PLAYSWARM_ABI_VERSION, (playswarm_config *)torrent, &none, NULL));
    CHECK(none == NULL);

    /* References are counted, and every function detects one release too many. */
    OK(playswarm_stream_ref(stream));
    OK(playswarm_stream_unref(stream));
    OK(playswarm_config_ref(config));
    OK(playswarm_config_unref(config));
    char *json = NULL;
    OK(playswarm_config_to_json(config, &json, NULL));
    OK(playswarm_string_free(json));
    playswarm_error *error = NULL;
    BAD(playswarm_config_to_json(config, NULL, &error));
    OK(playswarm_error_ref(error));
    OK(playswarm_error_unref(error));
    OK(playswarm_error_unref(error));
    OK(playswarm_stream_unref(stream));
    OK(playswarm_torrent_unref(torrent));
    OK(playswarm_config_unref(config));
    OK(playswarm_canceller_unref(canceller));
    OK(playswarm_session_ref(session));
    OK(playswarm_session_unref(session));
    OK(playswarm_session_unref(session));
    each(config, canceller, session, torrent, stream, error);
    BAD(playswarm_stream_unref(stream));
    BAD(playswarm_torrent_unref(torrent));
    BAD(playswarm_config_unref(config));
    BAD(playswarm_canceller_unref(canceller));
    BAD(playswarm_session_unref(session));
    BAD(playswarm_error_unref(error));
    BAD(playswarm_string_free(json));
    return end(&g);
}
