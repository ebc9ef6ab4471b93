/* Every function with NULL for each pointer, with handles that are not alive, and with handles of another kind. The
 * functions are compared with symbols.txt by tests/symbols.rs: one that is missing here is told. */
#include "common.h"

#define BAD(call) FAILS(PLAYSWARM_BAD_ARGUMENT, call)

static void each(playswarm_config *config, playswarm_canceller *canceller, playswarm_session *session,
                 playswarm_media *media, playswarm_stream *stream, playswarm_error *dead_error) {
    playswarm_error *error = NULL;
    size_t n = 7;
    uint64_t u = 7;
    uint16_t port = 7;
    int32_t fd = 7;
    char *text = NULL;
    char buffer[16];
    uint8_t hash[20] = {0};
    playswarm_media *made_media = NULL;
    playswarm_stream *made_stream = NULL;
    playswarm_file_info info = {.struct_size = sizeof info};
    playswarm_media_status status = {.struct_size = sizeof status};

    BAD(playswarm_error_code(dead_error));
    CHECK(strcmp(playswarm_error_message(dead_error), "") == 0);
    BAD(playswarm_error_ref(dead_error));

    BAD(playswarm_config_set(config, "dht", "true", &error));
    OK(playswarm_error_unref(error));
    BAD(playswarm_config_to_json(config, &text, NULL));
    BAD(playswarm_config_ref(config));

    BAD(playswarm_canceller_cancel(canceller));
    BAD(playswarm_canceller_reset(canceller));
    CHECK(playswarm_canceller_is_cancelled(canceller) == 0);
    BAD(playswarm_canceller_ref(canceller));

    made_media = (playswarm_media *)buffer;
    BAD(playswarm_session_open(session, "x.torrent", 1, NULL, &made_media, &error));
    CHECK(made_media == NULL && error != NULL);
    OK(playswarm_error_unref(error));
    BAD(playswarm_session_open_file(session, "x.torrent", 1, NULL, &made_media, NULL));
    BAD(playswarm_session_open_bytes(session, hash, sizeof hash, 1, NULL, &made_media, NULL));
    BAD(playswarm_session_open_info_hash(session, hash, 1, NULL, &made_media, NULL));
    BAD(playswarm_session_port(session, &port));
    BAD(playswarm_session_close(session, NULL));
    BAD(playswarm_session_ref(session));

    CHECK(strcmp(playswarm_media_name(media), "") == 0);
    BAD(playswarm_media_info_hash(media, hash));
    BAD(playswarm_media_file_count(media, &n));
    BAD(playswarm_media_file(media, 0, &info, NULL));
    BAD(playswarm_media_default_file(media, &n, NULL));
    BAD(playswarm_media_find_file(media, "a", &n, NULL));
    made_stream = (playswarm_stream *)buffer;
    BAD(playswarm_media_stream(media, 0, &made_stream, NULL));
    CHECK(made_stream == NULL);
    BAD(playswarm_media_prefetch(media, 0));
    BAD(playswarm_media_fetch_all(media, 1));
    BAD(playswarm_media_add_peer(media, "127.0.0.1:1", NULL));
    BAD(playswarm_media_check_files(media, NULL, &u, NULL));
    BAD(playswarm_media_sync(media, NULL, NULL));
    BAD(playswarm_media_get_status(media, &status, NULL));
    BAD(playswarm_media_status_json(media, &text, NULL));
    BAD(playswarm_media_trouble(media, &text));
    BAD(playswarm_media_piece_map(media, buffer, sizeof buffer, &n, NULL));
    BAD(playswarm_media_set_event_callback(media, 0, NULL, NULL, NULL, NULL));
    BAD(playswarm_media_ref(media));

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
    playswarm_landing landing = {.struct_size = sizeof landing};
    BAD(playswarm_media_get_time(media, 0, NULL, &time_info, NULL));
    BAD(playswarm_stream_seek_time(stream, 0, &landing, NULL));
    BAD(playswarm_stream_time(stream, &time));
    CHECK(time == 7 && landing.position == 0);

    /* What failed gave nothing. */
    CHECK(n == 7 && u == 7 && port == 7 && fd == 7 && text == NULL && made_media == NULL);
}

static void live(playswarm_config *config, playswarm_canceller *canceller, playswarm_session *session,
                 playswarm_media *media, playswarm_stream *stream) {
    char buffer[16];
    uint8_t hash[20] = {0};
    size_t n = 0;
    playswarm_media *made = NULL;
    playswarm_session *made_session = NULL;
    playswarm_config *made_config = NULL;

    BAD(playswarm_config_new(NULL, NULL));
    BAD(playswarm_config_from_json(NULL, &made_config, NULL));
    BAD(playswarm_config_from_json("{}", NULL, NULL));
    BAD(playswarm_config_set(config, NULL, "true", NULL));
    BAD(playswarm_config_set(config, "dht", NULL, NULL));
    BAD(playswarm_config_to_json(config, NULL, NULL));
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

    BAD(playswarm_media_info_hash(media, NULL));
    BAD(playswarm_media_file_count(media, NULL));
    BAD(playswarm_media_file(media, 0, NULL, NULL));
    BAD(playswarm_media_default_file(media, NULL, NULL));
    BAD(playswarm_media_find_file(media, NULL, &n, NULL));
    BAD(playswarm_media_find_file(media, "film", NULL, NULL));
    BAD(playswarm_media_stream(media, 0, NULL, NULL));
    BAD(playswarm_media_add_peer(media, NULL, NULL));
    OK(playswarm_media_check_files(media, NULL, NULL, NULL));
    BAD(playswarm_media_get_status(media, NULL, NULL));
    BAD(playswarm_media_status_json(media, NULL, NULL));
    BAD(playswarm_media_trouble(media, NULL));
    BAD(playswarm_media_piece_map(media, NULL, 5, &n, NULL));
    BAD(playswarm_media_piece_map(media, buffer, sizeof buffer, NULL, NULL));
    OK(playswarm_media_piece_map(media, NULL, 0, &n, NULL));
    CHECK(n > 0);
    OK(playswarm_media_set_event_callback(media, 0, NULL, NULL, NULL, NULL));

    BAD(playswarm_stream_read(stream, NULL, 1, &n, NULL));
    BAD(playswarm_stream_read(stream, buffer, 1, NULL, NULL));
    OK(playswarm_stream_read(stream, NULL, 0, &n, NULL));
    CHECK(n == 0);
    OK(playswarm_stream_seek(stream, 1, PLAYSWARM_SEEK_SET, NULL, NULL));
    BAD(playswarm_stream_size(stream, NULL));
    BAD(playswarm_stream_position(stream, NULL));
    BAD(playswarm_stream_readable_at(stream, 0, NULL));
    BAD(playswarm_stream_eventfd(stream, NULL, NULL));
    BAD(playswarm_media_get_time(media, 0, NULL, NULL, NULL));
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
    OK(playswarm_media_unref(NULL));
    OK(playswarm_stream_unref(NULL));
    OK(playswarm_string_free(NULL));

    playswarm_config *config = NULL;
    playswarm_canceller *canceller = NULL;
    OK(playswarm_config_new(&config, NULL));
    OK(playswarm_canceller_new(&canceller, NULL));
    playswarm_session *session = new_session(&g, NULL);
    playswarm_media *media = open_media(&g, session);
    playswarm_stream *stream = open_stream(media);
    CHECK(playswarm_live_handles() == 5);
    live(config, canceller, session, media, stream);
    CHECK(playswarm_live_handles() == 5);

    /* A handle of another kind, and what is none at all. */
    each((playswarm_config *)media, (playswarm_canceller *)stream, (playswarm_session *)config,
         (playswarm_media *)session, (playswarm_stream *)canceller, (playswarm_error *)session);
    BAD(playswarm_stream_unref((playswarm_stream *)media));
    BAD(playswarm_media_unref((playswarm_media *)&g));
    BAD(playswarm_string_free((char *)&g));
    playswarm_media *made = NULL;
    BAD(playswarm_session_open(session, g.torrent, 0, (playswarm_canceller *)media, &made, NULL));
    playswarm_session *none = session;
    BAD(playswarm_session_new(PLAYSWARM_ABI_VERSION, (playswarm_config *)media, &none, NULL));
    CHECK(none == NULL);

    /* References are counted, and one too many given back is told, by every function. */
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
    OK(playswarm_media_unref(media));
    OK(playswarm_config_unref(config));
    OK(playswarm_canceller_unref(canceller));
    OK(playswarm_session_ref(session));
    OK(playswarm_session_unref(session));
    OK(playswarm_session_unref(session));
    each(config, canceller, session, media, stream, error);
    BAD(playswarm_stream_unref(stream));
    BAD(playswarm_media_unref(media));
    BAD(playswarm_config_unref(config));
    BAD(playswarm_canceller_unref(canceller));
    BAD(playswarm_session_unref(session));
    BAD(playswarm_error_unref(error));
    BAD(playswarm_string_free(json));
    return end(&g);
}
