/* A program with an event loop: it polls the descriptors of two streams and reads only available bytes. */
#include "common.h"

#include <poll.h>

int main(int argc, char **argv) {
    given g = begin(argc, argv);
    playswarm_session *session = new_session(&g, NULL);
    playswarm_torrent *torrent = open_media(&g, session);
    enum { STREAMS = 2 };
    playswarm_stream *streams[STREAMS];
    struct pollfd polled[STREAMS];
    size_t at[STREAMS];
    for (int i = 0; i < STREAMS; i++) {
        int fd = -1, again = -1;
        streams[i] = open_stream(torrent);
        at[i] = g.size * (size_t)i / STREAMS;
        OK(playswarm_stream_seek(streams[i], (int64_t)at[i], PLAYSWARM_SEEK_SET, NULL, NULL));
        OK(playswarm_stream_eventfd(streams[i], &fd, NULL));
        OK(playswarm_stream_eventfd(streams[i], &again, NULL));
        CHECK(fd >= 0 && fd == again);
        polled[i] = (struct pollfd){.fd = fd, .events = POLLIN};
    }
    OK(playswarm_torrent_add_peer(torrent, g.peer, NULL));
    OK(playswarm_torrent_fetch_all(torrent, 1));
    for (int done = 0; done < STREAMS;) {
        CHECK(poll(polled, STREAMS, 60000) > 0);
        for (int i = 0; i < STREAMS; i++) {
            uint64_t signals = 0, readable = 0;
            if (!(polled[i].revents & POLLIN))
                continue;
            CHECK(read(polled[i].fd, &signals, sizeof signals) == sizeof signals && signals > 0);
            while (at[i] < g.size) {
                OK(playswarm_stream_readable_at(streams[i], at[i], &readable));
                if (readable == 0)
                    break;
                size_t n = readable < 10000 ? (size_t)readable : 10000;
                expect(&g, streams[i], at[i], n);
                at[i] += n;
                done += at[i] == g.size;
            }
        }
    }
    /* A cancellation and the end are signalled, too. */
    uint64_t signals = 0;
    struct pollfd *first = polled;
    while (read(first->fd, &signals, sizeof signals) > 0)
        ;
    OK(playswarm_stream_cancel(streams[0]));
    CHECK(poll(first, 1, 60000) == 1 && read(first->fd, &signals, sizeof signals) == sizeof signals);
    OK(playswarm_stream_reset(streams[0]));
    OK(playswarm_stream_seek(streams[0], 5, PLAYSWARM_SEEK_SET, NULL, NULL));
    CHECK(poll(first, 1, 60000) == 1 && read(first->fd, &signals, sizeof signals) == sizeof signals);
    OK(playswarm_session_close(session, NULL));
    CHECK(poll(first, 1, 60000) == 1);
    for (int i = 0; i < STREAMS; i++)
        OK(playswarm_stream_unref(streams[i]));
    OK(playswarm_torrent_unref(torrent));
    OK(playswarm_session_unref(session));
    return end(&g);
}
