/* Every call that waits is cancelled from another thread, at random times, COUNT times in all. */
#include "common.h"

#include <sched.h>

typedef struct {
    const given *g;
    playswarm_session *session;
    playswarm_torrent *torrent;
    playswarm_stream *stream;
    playswarm_canceller *canceller;
    long count;
    unsigned long seed;
    volatile long at;   /* the current round */
    volatile long over; /* the last finished round */
} work;

static playswarm_code wait_in_read(work *w) {
    char byte;
    size_t n = 7;
    playswarm_code code = playswarm_stream_read(w->stream, &byte, 1, &n, NULL);
    CHECK(n == 7);
    return code;
}

static playswarm_code wait_in_seek_time(work *w) {
    playswarm_seek_point seek_point = {.struct_size = sizeof seek_point};
    playswarm_code code = playswarm_stream_seek_time(w->stream, 1000000, &seek_point, NULL);
    CHECK(seek_point.position == 0);
    return code;
}

static playswarm_code wait_in_get_time(work *w) {
    playswarm_time_info info = {.struct_size = sizeof info};
    playswarm_code code = playswarm_torrent_get_time(w->torrent, 0, w->canceller, &info, NULL);
    CHECK(info.duration_us == 0);
    return code;
}

static playswarm_code wait_in_open(work *w) {
    /* No peer has this torrent. */
    uint8_t hash[20] = {1, 2, 3};
    hash[19] = (uint8_t)w->at;
    playswarm_torrent *torrent = w->torrent;
    playswarm_code code = playswarm_session_open_info_hash(w->session, hash, 0, w->canceller, &torrent, NULL);
    CHECK(torrent == NULL);
    return code;
}

static playswarm_code wait_in_check(work *w) {
    uint64_t bytes = 7;
    playswarm_code code = playswarm_torrent_recheck(w->torrent, w->canceller, &bytes, NULL);
    return code == PLAYSWARM_OK ? PLAYSWARM_CANCELLED : code; /* it may have finished before */
}

static playswarm_code wait_in_sync(work *w) {
    playswarm_code code = playswarm_torrent_sync(w->torrent, w->canceller, NULL);
    return code == PLAYSWARM_OK ? PLAYSWARM_CANCELLED : code;
}

static playswarm_code (*waiting)(work *);

/* Whether the stream's own cancel ends the call. */
static int on_the_stream(playswarm_code (*call)(work *)) { return call == wait_in_read || call == wait_in_seek_time; }

static void *wait_again_and_again(void *data) {
    work *w = data;
    for (long i = 1; i <= w->count; i++) {
        __atomic_store_n(&w->at, i, __ATOMIC_SEQ_CST);
        FAILS(PLAYSWARM_CANCELLED, waiting(w));
        __atomic_store_n(&w->over, i, __ATOMIC_SEQ_CST);
        /* The cancellation lasts until the reset. */
        while (on_the_stream(waiting) ? playswarm_stream_is_cancelled(w->stream)
                                       : playswarm_canceller_is_cancelled(w->canceller))
            sched_yield();
    }
    return NULL;
}

static void cancel_again_and_again(work *w, playswarm_code (*call)(work *), long count) {
    pthread_t waiter;
    waiting = call;
    w->count = count;
    w->at = w->over = 0;
    CHECK(pthread_create(&waiter, NULL, wait_again_and_again, w) == 0);
    for (long i = 1; i <= count; i++) {
        while (__atomic_load_n(&w->at, __ATOMIC_SEQ_CST) < i)
            sched_yield();
        pause_us((long)(next_random(&w->seed) % 100));
        OK(on_the_stream(call) ? playswarm_stream_cancel(w->stream) : playswarm_canceller_cancel(w->canceller));
        while (__atomic_load_n(&w->over, __ATOMIC_SEQ_CST) < i)
            sched_yield();
        if (i % 10 == 0) /* the stream stays cancelled */
            FAILS(PLAYSWARM_CANCELLED, call(w));
        OK(on_the_stream(call) ? playswarm_stream_reset(w->stream) : playswarm_canceller_reset(w->canceller));
    }
    CHECK(pthread_join(waiter, NULL) == 0);
}

int main(int argc, char **argv) {
    given g = begin(argc, argv);
    playswarm_session *session = new_session(&g, NULL);
    work w = {.g = &g, .session = session, .torrent = open_media(&g, session), .seed = 42};
    w.stream = open_stream(w.torrent);
    OK(playswarm_canceller_new(&w.canceller, NULL));
    cancel_again_and_again(&w, wait_in_read, g.count * 3 / 10);
    cancel_again_and_again(&w, wait_in_seek_time, g.count * 2 / 10);
    cancel_again_and_again(&w, wait_in_get_time, g.count / 10);
    cancel_again_and_again(&w, wait_in_open, g.count * 2 / 10);
    cancel_again_and_again(&w, wait_in_check, g.count / 10);
    cancel_again_and_again(&w, wait_in_sync, g.count / 10);
    OK(playswarm_canceller_ref(w.canceller));
    OK(playswarm_canceller_unref(w.canceller));
    OK(playswarm_canceller_unref(w.canceller));

    /* The stream still plays afterwards. */
    OK(playswarm_torrent_add_peer(w.torrent, g.peer, NULL));
    expect(&g, w.stream, 0, g.size);
    OK(playswarm_stream_unref(w.stream));
    OK(playswarm_torrent_unref(w.torrent));
    OK(playswarm_session_unref(session));
    return end(&g);
}
