/* Callbacks that call the library, replace themselves and release their objects; finalizers that are called once. */
#include "common.h"

typedef struct {
    const given *g;
    playswarm_session *session;
    playswarm_torrent *torrent;
    playswarm_stream *stream;
    pthread_t thread;
    int calls, kinds[32], finalized, last;
    int64_t verified;
} listener;

#define SET(field, value) __atomic_store_n(&(field), (value), __ATOMIC_SEQ_CST)
#define GET(field) __atomic_load_n(&(field), __ATOMIC_SEQ_CST)

static void finalize(void *data) {
    listener *h = data;
    CHECK(__atomic_fetch_add(&h->finalized, 1, __ATOMIC_SEQ_CST) == 0);
}

/* Receives events, and calls nearly all functions. */
static void on_event(void *data, const playswarm_event *event) {
    listener *h = data;
    CHECK(GET(h->finalized) == 0);
    if (GET(h->calls) == 0)
        h->thread = pthread_self();
    CHECK(pthread_equal(h->thread, pthread_self()));
    CHECK(event->struct_size >= sizeof *event && event->kind > 0 && event->kind < 32);
    CHECK(playswarm_event_kind_name(event->kind) != NULL);
    playswarm_torrent_status status = {.struct_size = sizeof status};
    OK(playswarm_torrent_get_status(h->torrent, &status, NULL));
    playswarm_torrent *again = NULL;
    playswarm_stream *stream = NULL;
    if (event->kind == PLAYSWARM_EVENT_STATUS) {
        CHECK(event->status != NULL && event->status->struct_size >= sizeof status);
        CHECK(event->status->total_bytes == h->g->size);
        SET(h->verified, (int64_t)event->status->verified_bytes);
        /* Also functions that wait. */
        if (event->status->verified_bytes == h->g->size) {
            OK(playswarm_session_open_file(h->session, h->g->torrent, 0, NULL, &again, NULL));
            stream = open_stream(again);
            expect(h->g, stream, 0, 1000);
            OK(playswarm_stream_unref(stream));
            OK(playswarm_torrent_unref(again));
        }
    } else {
        CHECK(event->status == NULL);
    }
    if (event->kind == PLAYSWARM_EVENT_PEER_CONNECTED)
        CHECK(event->peer != NULL && strcmp(event->peer, h->g->peer) == 0 && event->message == NULL);
    if (event->kind == PLAYSWARM_EVENT_PEER_DISCONNECTED)
        CHECK(event->peer != NULL && event->message != NULL);
    if (event->kind == PLAYSWARM_EVENT_PIECE_VERIFIED)
        CHECK(event->number < status.pieces);
    __atomic_fetch_add(&h->kinds[event->kind], 1, __ATOMIC_SEQ_CST);
    __atomic_fetch_add(&h->calls, 1, __ATOMIC_SEQ_CST);
}

/* Replaces itself the second time. */
static void replace(void *data, const playswarm_event *event) {
    listener *h = data;
    (void)event;
    CHECK(GET(h->finalized) == 0);
    if (__atomic_add_fetch(&h->calls, 1, __ATOMIC_SEQ_CST) == 2) {
        OK(playswarm_torrent_set_event_callback(h->torrent, 0, NULL, NULL, NULL, NULL));
        CHECK(GET(h->finalized) == 0); /* it is still in use */
    }
    CHECK(GET(h->calls) <= 2);
}

/* Releases the last handles, so that the session ends on its own thread. */
static void release_all(void *data, const playswarm_event *event) {
    listener *h = data;
    (void)event;
    if (__atomic_add_fetch(&h->calls, 1, __ATOMIC_SEQ_CST) > 1)
        return;
    OK(playswarm_stream_unref(h->stream));
    OK(playswarm_session_unref(h->session));
    OK(playswarm_torrent_unref(h->torrent));
    SET(h->last, 1);
}

static void on_readable(void *data) {
    listener *h = data;
    CHECK(GET(h->finalized) == 0);
    uint64_t now = 0, readable = 0;
    OK(playswarm_stream_position(h->stream, &now));
    OK(playswarm_stream_readable_at(h->stream, now, &readable));
    if (now + readable <= h->g->size)
        expect(h->g, h->stream, (size_t)now, (size_t)readable);
    __atomic_fetch_add(&h->calls, 1, __ATOMIC_SEQ_CST);
}

static void on_log(void *data, playswarm_log_level level, const char *target, const char *message) {
    listener *h = data;
    CHECK(GET(h->finalized) == 0);
    CHECK(level >= PLAYSWARM_LOG_ERROR && level <= PLAYSWARM_LOG_TRACE && target[0] && message != NULL);
    CHECK(strchr(message, '\n') == NULL || level > PLAYSWARM_LOG_INFO);
    if (strncmp(target, "playswarm", 9) != 0)
        CHECK(level <= PLAYSWARM_LOG_WARN);
    /* It causes log lines itself. They arrive later, and their number is limited. */
    if (__atomic_fetch_add(&h->calls, 1, __ATOMIC_SEQ_CST) < 5)
        FAILS(PLAYSWARM_BAD_ARGUMENT, playswarm_stream_cancel(NULL));
}

int main(int argc, char **argv) {
    given g = begin(argc, argv);
    listener log = {.g = &g};
    OK(playswarm_set_log_callback(PLAYSWARM_LOG_DEBUG, on_log, &log, finalize, NULL));

    listener h = {.g = &g};
    h.session = new_session(&g, NULL);
    h.torrent = open_media(&g, h.session);
    OK(playswarm_torrent_set_event_callback(h.torrent, 5, on_event, &h, finalize, NULL));
    listener r = {.g = &g, .torrent = h.torrent, .stream = open_stream(h.torrent)};
    OK(playswarm_stream_set_readable_callback(r.stream, on_readable, &r, finalize, NULL));
    OK(playswarm_torrent_add_peer(h.torrent, g.peer, NULL));
    OK(playswarm_torrent_fetch_all(h.torrent, 1));
    UNTIL(GET(h.verified) == (int64_t)g.size && GET(h.kinds[PLAYSWARM_EVENT_COMPLETED]) == 1);
    uint64_t position = 0;
    UNTIL((OK(playswarm_stream_position(r.stream, &position)), position == g.size));
    CHECK(GET(r.calls) > 1 && GET(h.kinds[PLAYSWARM_EVENT_PEER_CONNECTED]) >= 1);
    CHECK(GET(h.kinds[PLAYSWARM_EVENT_PIECE_VERIFIED]) + GET(h.kinds[PLAYSWARM_EVENT_MISSED]) > 0);
    CHECK(GET(h.finalized) == 0 && GET(r.finalized) == 0);

    /* It is replaced, and the old one is finalized. */
    listener second = {.g = &g, .torrent = h.torrent};
    OK(playswarm_torrent_set_event_callback(h.torrent, 1, replace, &second, finalize, NULL));
    CHECK(GET(h.finalized) == 1);
    int calls = GET(h.calls);
    UNTIL(GET(second.finalized) == 1);
    CHECK(GET(h.calls) == calls && GET(second.calls) == 2);

    /* A call that fails does not take the callback. */
    listener third = {.g = &g};
    FAILS(PLAYSWARM_BAD_ARGUMENT, playswarm_torrent_set_event_callback(NULL, 1, on_event, &third, finalize, NULL));
    CHECK(GET(third.finalized) == 0);

    /* The end of the torrent is the last event. */
    listener ends = {.g = &g, .torrent = h.torrent, .session = h.session};
    OK(playswarm_torrent_set_event_callback(h.torrent, 0, on_event, &ends, finalize, NULL));
    OK(playswarm_session_close(h.session, NULL));
    UNTIL(GET(ends.kinds[PLAYSWARM_EVENT_CLOSED]) == 1);
    OK(playswarm_stream_unref(r.stream));
    CHECK(GET(r.finalized) == 1);
    OK(playswarm_torrent_unref(h.torrent));
    CHECK(GET(ends.finalized) == 1);
    OK(playswarm_session_unref(h.session));

    listener last = {.g = &g};
    last.session = new_session(&g, NULL);
    last.torrent = open_media(&g, last.session);
    last.stream = open_stream(last.torrent);
    OK(playswarm_torrent_set_event_callback(last.torrent, 1, release_all, &last, finalize, NULL));
    UNTIL(GET(last.last) == 1 && GET(last.finalized) == 1);
    CHECK(GET(last.calls) == 1);

    CHECK(GET(log.calls) > 0 && GET(log.finalized) == 0);
    OK(playswarm_set_log_callback(0, NULL, NULL, NULL, NULL));
    CHECK(GET(log.finalized) == 1);
    calls = GET(log.calls);
    FAILS(PLAYSWARM_BAD_ARGUMENT, playswarm_stream_cancel(NULL));
    pause_us(20000);
    CHECK(GET(log.calls) == calls);
    return end(&g);
}
