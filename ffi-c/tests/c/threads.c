#define _GNU_SOURCE
/* Many threads on the same handles: readers of one stream, seeks while others wait, a session that is closed during
 * reads, references that are released in all threads. */
#include "common.h"

typedef struct {
    const given *g;
    playswarm_torrent *torrent;
    playswarm_stream *stream;
    playswarm_session *session;
    unsigned long seed;
    unsigned char *seen;
    pthread_mutex_t *lock;
    playswarm_code code;
} work;

/* Reads parts of its own stream. */
static void *read_places(void *data) {
    work *w = data;
    playswarm_stream *stream = open_stream(w->torrent);
    for (int i = 0; i < 10; i++) {
        size_t at = next_random(&w->seed) % w->g->size;
        size_t length = w->g->size - at < 20000 ? w->g->size - at : 20000;
        OK(playswarm_stream_seek(stream, (int64_t)at, PLAYSWARM_SEEK_SET, NULL, NULL));
        expect(w->g, stream, at, length);
    }
    OK(playswarm_stream_unref(stream));
    return NULL;
}

/* Reads the shared stream; each byte must be returned to one thread. A read returns no position, so the bytes are found in
 * the film by their values: no two places of it are alike. */
static void *read_together(void *data) {
    work *w = data;
    unsigned char buffer[4096];
    for (size_t n = 1; n > 0;) {
        OK(playswarm_stream_read(w->stream, buffer, sizeof buffer, &n, NULL));
        if (n < 16)
            continue;
        const unsigned char *at = memmem(w->g->film, w->g->size, buffer, n);
        CHECK(at != NULL);
        pthread_mutex_lock(w->lock);
        for (size_t i = 0; i < n; i++)
            CHECK(w->seen[(size_t)(at - w->g->film) + i]++ == 0);
        pthread_mutex_unlock(w->lock);
    }
    return NULL;
}

static void *read_once(void *data) {
    work *w = data;
    unsigned char buffer[100];
    size_t n = 0;
    w->code = playswarm_stream_read(w->stream, buffer, sizeof buffer, &n, NULL);
    if (w->code == PLAYSWARM_OK)
        CHECK(n > 0 && memcmp(buffer, w->g->film + w->seed, n) == 0);
    return NULL;
}

static void *read_until_closed(void *data) {
    work *w = data;
    unsigned char buffer[1000];
    size_t n = 0;
    while ((w->code = playswarm_stream_read(w->stream, buffer, sizeof buffer, &n, NULL)) == PLAYSWARM_OK)
        if (n == 0)
            OK(playswarm_stream_seek(w->stream, 0, PLAYSWARM_SEEK_SET, NULL, NULL));
    return NULL;
}

static void *open_and_drop(void *data) {
    work *w = data;
    for (int i = 0; i < 20; i++) {
        playswarm_torrent *torrent = NULL;
        OK(playswarm_session_ref(w->session));
        OK(playswarm_session_open_file(w->session, w->g->torrent, 20000, NULL, &torrent, NULL));
        playswarm_stream *stream = open_stream(torrent);
        OK(playswarm_torrent_unref(torrent));
        expect(w->g, stream, 0, 1);
        OK(playswarm_stream_unref(stream));
        OK(playswarm_session_unref(w->session));
    }
    return NULL;
}

enum { THREADS = 8 };

static void all(void *(*run)(void *), work *works) {
    pthread_t threads[THREADS];
    for (int i = 0; i < THREADS; i++)
        CHECK(pthread_create(&threads[i], NULL, run, &works[i]) == 0);
    for (int i = 0; i < THREADS; i++)
        CHECK(pthread_join(threads[i], NULL) == 0);
}

int main(int argc, char **argv) {
    given g = begin(argc, argv);
    playswarm_session *session = new_session(&g, g.peer);
    playswarm_torrent *torrent = open_media(&g, session);
    playswarm_stream *stream = open_stream(torrent);
    pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;
    work works[THREADS];
    for (int i = 0; i < THREADS; i++)
        works[i] = (work){&g, torrent, stream, session, (unsigned long)i + 1, calloc(1, g.size), &lock, 0};

    all(read_places, works);
    unsigned char *seen = works[0].seen;
    for (int i = 1; i < THREADS; i++) {
        free(works[i].seen);
        works[i].seen = seen;
    }
    all(read_together, works);
    size_t missed = 0;
    for (size_t i = 0; i < g.size; i++)
        missed += seen[i] == 0;
    CHECK(missed < 16); /* the end of the film, too short to be found */
    free(seen);
    all(open_and_drop, works);
    OK(playswarm_stream_unref(stream));
    OK(playswarm_torrent_unref(torrent));
    OK(playswarm_session_unref(session));

    /* No peer has the film, so reads wait. A seek does not wait for them, and they continue at its position. */
    char folder[4096];
    snprintf(folder, sizeof folder, "%s/lonely", g.folder);
    session = new_session_in(folder, NULL);
    torrent = open_media(&g, session);
    stream = open_stream(torrent);
    works[0] = (work){.g = &g, .stream = stream, .seed = g.size - 5000};
    pthread_t reader;
    CHECK(pthread_create(&reader, NULL, read_once, &works[0]) == 0);
    playswarm_torrent_status status = {.struct_size = sizeof status};
    do
        OK(playswarm_torrent_get_status(torrent, &status, NULL));
    while (status.waiting_readers == 0);
    uint64_t position = 0;
    OK(playswarm_stream_seek(stream, -5000, PLAYSWARM_SEEK_END, &position, NULL));
    CHECK(position == g.size - 5000);
    OK(playswarm_torrent_add_peer(torrent, g.peer, NULL));
    CHECK(pthread_join(reader, NULL) == 0);
    OK(works[0].code);
    OK(playswarm_stream_unref(stream));
    OK(playswarm_torrent_unref(torrent));
    OK(playswarm_session_unref(session));

    /* The session is closed during reads, with data and without. */
    for (int round = 0; round < 6; round++) {
        snprintf(folder, sizeof folder, "%s/closed%d", g.folder, round);
        session = new_session_in(folder, round % 2 ? g.peer : NULL);
        torrent = open_media(&g, session);
        pthread_t threads[THREADS];
        for (int i = 0; i < THREADS; i++) {
            works[i] = (work){.g = &g, .stream = open_stream(torrent)};
            CHECK(pthread_create(&threads[i], NULL, read_until_closed, &works[i]) == 0);
        }
        pause_us(2000 * round);
        OK(playswarm_session_close(session, NULL));
        OK(playswarm_session_close(session, NULL));
        for (int i = 0; i < THREADS; i++) {
            CHECK(pthread_join(threads[i], NULL) == 0);
            FAILS(PLAYSWARM_CLOSED, works[i].code);
            OK(playswarm_stream_seek(works[i].stream, 0, PLAYSWARM_SEEK_SET, NULL, NULL));
            OK(playswarm_stream_unref(works[i].stream));
        }
        playswarm_torrent *none = NULL;
        FAILS(PLAYSWARM_CLOSED, playswarm_session_open_file(session, g.torrent, 0, NULL, &none, NULL));
        OK(playswarm_torrent_unref(torrent));
        OK(playswarm_session_unref(session));
    }

    /* The handles are released during calls of other threads. */
    snprintf(folder, sizeof folder, "%s/gone", g.folder);
    session = new_session_in(folder, NULL);
    torrent = open_media(&g, session);
    stream = open_stream(torrent);
    works[0] = (work){.g = &g, .stream = stream};
    CHECK(pthread_create(&reader, NULL, read_once, &works[0]) == 0);
    do
        OK(playswarm_torrent_get_status(torrent, &status, NULL));
    while (status.waiting_readers == 0);
    OK(playswarm_torrent_unref(torrent));
    OK(playswarm_session_ref(session));
    OK(playswarm_stream_unref(stream));
    OK(playswarm_session_unref(session));
    OK(playswarm_session_close(session, NULL));
    CHECK(pthread_join(reader, NULL) == 0);
    FAILS(PLAYSWARM_CLOSED, works[0].code);
    OK(playswarm_session_unref(session));
    return end(&g);
}
