/* A live channel from one session to another: link, head, status, a stream without a size, the end. */
#include "common.h"

#include <poll.h>
#include <sys/stat.h>

/* Bytes of the film that are cast, and how many at once. */
enum { CAST_BYTES = 300000, WRITE_BYTES = 5000 };

typedef struct {
    const given *g;
    playswarm_cast *cast;
    playswarm_stream *stream;
} task;

static void *writes(void *data) {
    task *t = data;
    for (size_t at = 0; at < CAST_BYTES; at += WRITE_BYTES) {
        OK(playswarm_cast_write(t->cast, t->g->film + at, WRITE_BYTES, NULL));
        pause_us(10000);
    }
    OK(playswarm_cast_set_title(t->cast, "One \xe2\x80\x93 Two", NULL));
    OK(playswarm_cast_write(t->cast, NULL, 0, NULL));
    OK(playswarm_cast_end(t->cast, NULL));
    return NULL;
}

static void *is_cancelled(void *data) {
    task *t = data;
    char byte;
    size_t n = 0;
    FAILS(PLAYSWARM_CANCELLED, playswarm_stream_read(t->stream, &byte, 1, &n, NULL));
    return NULL;
}

static playswarm_session *session_in(const given *g, const char *name) {
    char folder[4096];
    snprintf(folder, sizeof folder, "%s/%s", g->folder, name);
    mkdir(folder, 0777);
    return new_session_in(folder, NULL);
}

static void refuses(const given *g, playswarm_session *session, const unsigned char *seed) {
    playswarm_error *error = NULL;
    playswarm_cast *cast = NULL;
    playswarm_channel *channel = NULL;
    playswarm_stream *stream = NULL;
    char name[300];
    memset(name, 'n', sizeof name - 1);
    name[sizeof name - 1] = 0;
    SAYS(PLAYSWARM_BAD_CONFIG, "name", error, playswarm_session_cast(session, NULL, name, NULL, 0, &cast, &error));
    SAYS(PLAYSWARM_BAD_ARGUMENT, "open in this session", error,
         playswarm_session_cast(session, seed, NULL, NULL, 0, &cast, &error));
    SAYS(PLAYSWARM_BAD_SOURCE, "no link to a live channel", error,
         playswarm_session_watch(session, g->torrent, &channel, &error));
    SAYS(PLAYSWARM_BAD_SOURCE, "playswarm:short", error,
         playswarm_session_watch(session, "playswarm:short", &channel, &error));
    SAYS(PLAYSWARM_BAD_SOURCE, "playswarm:short", error,
         playswarm_session_open_stream(session, "playswarm:short", NULL, 0, NULL, &stream, &error));
    FAILS(PLAYSWARM_NO_SUCH_FILE,
          playswarm_session_open_stream(session, g->torrent, "no such", 20000, NULL, &stream, NULL));
    CHECK(cast == NULL && channel == NULL && stream == NULL);
    OK(playswarm_session_open_stream(session, g->torrent, "film", 20000, NULL, &stream, NULL));
    uint64_t size = 0;
    OK(playswarm_stream_size(stream, &size));
    CHECK(size == g->size);
    OK(playswarm_stream_unref(stream));
}

/* Begins archives of both, in folders of their own. */
static void archives(const given *g, playswarm_cast *cast, playswarm_channel *channel) {
    char folder[4096];
    playswarm_error *error = NULL;
    snprintf(folder, sizeof folder, "%s/cast", g->folder);
    SAYS(PLAYSWARM_BAD_CONFIG, "from 2 to 120", error, playswarm_cast_archive(cast, folder, 1, &error));
    OK(playswarm_cast_archive(cast, folder, 0, NULL));
    snprintf(folder, sizeof folder, "%s/watched", g->folder);
    OK(playswarm_channel_archive(channel, folder, NULL));
    SAYS(PLAYSWARM_BAD_ARGUMENT, "has an archive already", error,
         playswarm_channel_archive(channel, folder, &error));
    FAILS(PLAYSWARM_TIMED_OUT, playswarm_cast_wait_archived(cast, 10, NULL, NULL));
}

/* It has no size and no positions but the present one. */
static void has_no_size(playswarm_stream *stream) {
    uint64_t u = 7;
    int64_t time = 7;
    playswarm_error *error = NULL;
    playswarm_seek_point point = {.struct_size = sizeof point};
    FAILS(PLAYSWARM_NO_SIZE, playswarm_stream_size(stream, &u));
    SAYS(PLAYSWARM_NO_SIZE, "no positions", error,
         playswarm_stream_seek(stream, 5, PLAYSWARM_SEEK_SET, &u, &error));
    FAILS(PLAYSWARM_NO_SIZE, playswarm_stream_seek(stream, 0, PLAYSWARM_SEEK_END, &u, NULL));
    FAILS(PLAYSWARM_NO_SIZE, playswarm_stream_seek_time(stream, 0, &point, NULL));
    CHECK(u == 7);
    OK(playswarm_stream_seek(stream, 0, PLAYSWARM_SEEK_CUR, &u, NULL));
    CHECK(u == 0);
    OK(playswarm_stream_time(stream, &time));
    CHECK(time < 0);
    OK(playswarm_stream_set_rate(stream, 1e5));
}

/* Polls the descriptor, and reads only what is there, to the end. */
static void reads_all(const given *g, playswarm_channel *channel, playswarm_stream *stream, int fd) {
    playswarm_channel_status status = {.struct_size = sizeof status};
    struct pollfd polled = {.fd = fd, .events = POLLIN};
    uint64_t at = 0, readable = 0, signals = 0;
    for (int ended = 0; !ended;) {
        CHECK(poll(&polled, 1, 60000) == 1 && read(fd, &signals, sizeof signals) == sizeof signals);
        OK(playswarm_channel_get_status(channel, &status, NULL));
        ended = (int)status.is_ended;
        for (;;) {
            OK(playswarm_stream_position(stream, &at));
            OK(playswarm_stream_readable_at(stream, at, &readable));
            if (readable == 0)
                break;
            CHECK(at + readable <= CAST_BYTES);
            expect(g, stream, (size_t)at, readable < 10000 ? (size_t)readable : 10000);
        }
        OK(playswarm_stream_readable_at(stream, at + 1, &readable));
        CHECK(readable == 0);
    }
    char byte;
    size_t n = 7;
    OK(playswarm_stream_read(stream, &byte, 1, &n, NULL));
    CHECK(n == 0 && at == CAST_BYTES);
}

int main(int argc, char **argv) {
    given g = begin(argc, argv);
    unsigned char seed[PLAYSWARM_SEED_BYTES] = {0}, other[PLAYSWARM_SEED_BYTES] = {0};
    OK(playswarm_seed_new(seed, NULL));
    OK(playswarm_seed_new(other, NULL));
    CHECK(memcmp(seed, other, sizeof seed) != 0);

    playswarm_session *source = session_in(&g, "source"), *viewer = session_in(&g, "viewer");
    playswarm_cast *cast = NULL;
    char *link = NULL, *found = NULL, *json = NULL;
    OK(playswarm_session_cast(source, seed, "Ünter 1", "application/x-test", 100000, &cast, NULL));
    OK(playswarm_cast_link(cast, &link, NULL));
    CHECK(strncmp(link, "playswarm:", 10) == 0 && strstr(link, "?at=127.0.0.1"));
    refuses(&g, source, seed);

    playswarm_channel *channel = NULL, *again = NULL;
    playswarm_stream *stream = NULL, *second = NULL;
    playswarm_channel_head head = {.struct_size = sizeof head};
    playswarm_channel_status status = {.struct_size = sizeof status};
    OK(playswarm_session_watch(viewer, link, &channel, NULL));
    OK(playswarm_channel_link(channel, &found, NULL));
    CHECK(strcmp(found, link) == 0);
    archives(&g, cast, channel);
    FAILS(PLAYSWARM_TIMED_OUT, playswarm_channel_on_air(channel, 20, NULL, NULL, NULL));
    OK(playswarm_channel_stream(channel, &stream, NULL));
    has_no_size(stream);

    task t = {&g, cast, stream};
    pthread_t thread;
    CHECK(pthread_create(&thread, NULL, is_cancelled, &t) == 0);
    pause_us(20000);
    OK(playswarm_stream_cancel(stream));
    CHECK(pthread_join(thread, NULL) == 0);
    OK(playswarm_stream_reset(stream));

    /* A channel is open once in a session, and each stream gets all of it. */
    OK(playswarm_session_watch(viewer, link, &again, NULL));
    OK(playswarm_session_open_stream(viewer, link + strlen("playswarm:"), NULL, 0, NULL, &second, NULL));
    OK(playswarm_channel_get_status(again, &status, NULL));
    CHECK(status.readers == 2 && status.is_ended == 0 && status.delay_ms == -1 && status.archived == 0);
    CHECK(status.first_packet_ms == -1 && status.full_for_s == -1 && status.reachable == -1);

    int fd = -1;
    OK(playswarm_stream_eventfd(stream, &fd, NULL));
    UNTIL(playswarm_channel_get_status(again, &status, NULL) == PLAYSWARM_OK && status.has_head);
    CHECK(pthread_create(&thread, NULL, writes, &t) == 0);
    OK(playswarm_channel_on_air(again, 0, NULL, &head, NULL));
    CHECK(strcmp(head.name, "Ünter 1") == 0 && strcmp(head.content_type, "application/x-test") == 0);
    CHECK(head.bytes_per_s == 100000);
    reads_all(&g, channel, stream, fd);
    CHECK(pthread_join(thread, NULL) == 0);
    expect(&g, second, 0, CAST_BYTES);
    OK(playswarm_cast_wait_archived(cast, 60000, NULL, NULL));
    OK(playswarm_channel_wait_archived(channel, 60000, NULL, NULL));
    OK(playswarm_channel_get_head(channel, &head, NULL));
    OK(playswarm_channel_get_status(channel, &status, NULL));
    CHECK(status.stripes > 1 && status.fed == status.stripes && status.depth == 1 && status.parents == 1);
    CHECK(status.delay_ms >= 0 && status.refused == 0 && status.gaps == 0 && status.packets > 0);
    CHECK(status.first_packet_ms >= 0 && status.first_packet_ms < 60000);
    CHECK(status.connections == 1 && status.is_ended == 1);
    CHECK(strcmp(status.title, "One \xe2\x80\x93 Two") == 0);
    CHECK(status.minutes == 1 && status.archived == 1);
    OK(playswarm_channel_status_json(channel, &json, NULL));
    CHECK(strstr(json, "\"stripe_map\":\"##") != NULL);
    OK(playswarm_cast_get_status(cast, &status, NULL));
    CHECK(status.children == status.stripes && status.depth == 0);
    CHECK(status.reachable == 1 && status.full_for_s == -1);

    OK(playswarm_channel_ref(channel));
    OK(playswarm_channel_unref(channel));
    OK(playswarm_channel_leave(channel, NULL));
    char byte;
    size_t n = 0;
    FAILS(PLAYSWARM_CLOSED, playswarm_stream_read(second, &byte, 1, &n, NULL));
    FAILS(PLAYSWARM_CLOSED, playswarm_channel_on_air(again, 0, NULL, NULL, NULL));
    OK(playswarm_cast_ref(cast));
    OK(playswarm_cast_unref(cast));

    /* Closing the session ends a read. */
    playswarm_stream *third = NULL;
    playswarm_cast *silent = NULL;
    OK(playswarm_session_cast(source, NULL, NULL, NULL, 0, &silent, NULL));
    OK(playswarm_string_free(found));
    OK(playswarm_cast_link(silent, &found, NULL));
    OK(playswarm_session_open_stream(viewer, found, NULL, 0, NULL, &third, NULL));
    OK(playswarm_session_close(viewer, NULL));
    FAILS(PLAYSWARM_CLOSED, playswarm_stream_read(third, &byte, 1, &n, NULL));
    playswarm_channel *none = again;
    FAILS(PLAYSWARM_CLOSED, playswarm_session_watch(viewer, link, &none, NULL));
    CHECK(none == NULL);

    OK(playswarm_string_free(json));
    OK(playswarm_string_free(found));
    OK(playswarm_string_free(link));
    /* Handles may be released in any order. */
    OK(playswarm_session_unref(source));
    OK(playswarm_session_unref(viewer));
    OK(playswarm_cast_unref(silent));
    OK(playswarm_cast_unref(cast));
    OK(playswarm_channel_unref(channel));
    OK(playswarm_stream_unref(third));
    OK(playswarm_stream_unref(second));
    OK(playswarm_stream_unref(stream));
    OK(playswarm_channel_unref(again));
    return end(&g);
}
