/* The protocol playswarm:// for libmpv: its stream callbacks on top of a playswarm stream. */
#include "playswarm_mpv.h"

#include <mpv/stream_cb.h>

#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define PREFIX "playswarm://"

struct playswarm_mpv {
    playswarm_session *session;
    pthread_mutex_t lock;
    playswarm_canceller *opening; /* of the open in progress, or NULL */
};

static void complain(const char *what, playswarm_error *error) {
    fprintf(stderr, "playswarm: %s: %s\n", what, playswarm_error_message(error));
    playswarm_error_unref(error);
}

static int64_t size(void *cookie) {
    uint64_t size = 0;
    return playswarm_stream_size(cookie, &size) == PLAYSWARM_OK ? (int64_t)size : MPV_ERROR_GENERIC;
}

static int64_t read_some(void *cookie, char *buffer, uint64_t capacity) {
    size_t n = 0;
    playswarm_error *error = NULL;
    playswarm_code code = playswarm_stream_read(cookie, buffer, (size_t)capacity, &n, &error);
    if (code == PLAYSWARM_OK)
        return (int64_t)n;
    if (code == PLAYSWARM_CANCELLED || code == PLAYSWARM_CLOSED)
        playswarm_error_unref(error);
    else
        complain("read", error);
    return -1;
}

static int64_t seek(void *cookie, int64_t offset) {
    uint64_t at = 0;
    playswarm_code code = playswarm_stream_seek(cookie, offset, PLAYSWARM_SEEK_SET, &at, NULL);
    return code == PLAYSWARM_OK ? (int64_t)at : MPV_ERROR_GENERIC;
}

/* Called from a thread other than the reading one. It is permanent: mpv expects all later calls to
 * fail until it closes the stream. */
static void cancel(void *cookie) { playswarm_stream_cancel(cookie); }

static void close_stream(void *cookie) { playswarm_stream_unref(cookie); }

/* Records the canceller of the open in progress. */
static void set_opening(playswarm_mpv *p, playswarm_canceller *canceller) {
    pthread_mutex_lock(&p->lock);
    p->opening = canceller;
    pthread_mutex_unlock(&p->lock);
}

static int open_stream(void *data, char *uri, mpv_stream_cb_info *info) {
    playswarm_mpv *p = data;
    playswarm_stream *stream = NULL;
    playswarm_canceller *canceller = NULL;
    playswarm_error *error = NULL;
    uint64_t bytes = 0;
    char *source = strdup(uri + strlen(PREFIX));
    if (!source || playswarm_canceller_new(&canceller, NULL) != PLAYSWARM_OK) {
        free(source);
        return MPV_ERROR_LOADING_FAILED;
    }
    char *file = strrchr(source, '#');
    if (file)
        *file++ = '\0';
    set_opening(p, canceller);
    playswarm_code code = playswarm_session_open_stream(p->session, source, file, 0, canceller, &stream, &error);
    set_opening(p, NULL);
    playswarm_canceller_unref(canceller);
    if (code != PLAYSWARM_OK)
        complain(source, error);
    free(source);
    if (code != PLAYSWARM_OK)
        return MPV_ERROR_LOADING_FAILED;
    info->cookie = stream;
    info->read_fn = read_some;
    /* Without these, as for a live channel, mpv does not seek. */
    if (playswarm_stream_size(stream, &bytes) == PLAYSWARM_OK) {
        info->size_fn = size;
        info->seek_fn = seek;
    }
    info->cancel_fn = cancel;
    info->close_fn = close_stream;
    return 0;
}

playswarm_mpv *playswarm_mpv_register(mpv_handle *mpv, playswarm_session *session) {
    playswarm_mpv *p = calloc(1, sizeof *p);
    if (!p || playswarm_session_ref(session) != PLAYSWARM_OK) {
        free(p);
        return NULL;
    }
    p->session = session;
    pthread_mutex_init(&p->lock, NULL);
    if (mpv_stream_cb_add_ro(mpv, "playswarm", p, open_stream) < 0) {
        playswarm_mpv_free(p);
        return NULL;
    }
    return p;
}

void playswarm_mpv_stop_opening(playswarm_mpv *p) {
    pthread_mutex_lock(&p->lock);
    if (p->opening)
        playswarm_canceller_cancel(p->opening);
    pthread_mutex_unlock(&p->lock);
}

void playswarm_mpv_free(playswarm_mpv *p) {
    if (!p)
        return;
    playswarm_session_unref(p->session);
    pthread_mutex_destroy(&p->lock);
    free(p);
}
