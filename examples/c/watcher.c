/* A status monitor: reads a film without playing it, and prints its status once a second and each
 * event.
 *
 *     ./watcher dir=/var/tmp/films film.torrent
 */
#include "setup.h"

static void on_event(void *data, const playswarm_event *event) {
    (void)data;
    if (event->kind != PLAYSWARM_EVENT_STATUS) {
        printf("%s", playswarm_event_kind_name(event->kind));
        if (event->peer)
            printf(" %s", event->peer);
        if (event->kind == PLAYSWARM_EVENT_PIECE_VERIFIED)
            printf(" %u", event->number);
        printf("%s%s\n", event->message ? ": " : "", event->message ? event->message : "");
        return;
    }
    const playswarm_torrent_status *s = event->status;
    printf("%5.1f %% here, %.1f MB ahead, %.2f MB/s down, %.2f MB/s up, %u of %u known peers, %.1f kB for nothing\n",
           100.0 * (double)s->verified_bytes / (double)s->total_bytes, (double)s->ahead_bytes / 1e6,
           s->download_bytes_per_s / 1e6, s->upload_bytes_per_s / 1e6, s->peers, s->peers + s->known_peers,
           (double)(s->waste_duplicate_bytes + s->waste_unasked_bytes + s->waste_failed_bytes) / 1e3);
}

static void on_log(void *data, playswarm_log_level level, const char *target, const char *message) {
    (void)data;
    fprintf(stderr, "%s %s: %s\n", playswarm_log_level_name(level), target, message);
}

int main(int argc, char **argv) {
    static char buffer[1 << 16];
    const char *source;
    playswarm_torrent *torrent = NULL;
    playswarm_stream *stream = NULL;
    playswarm_error *error = NULL;
    size_t file, n;

    must(playswarm_set_log_callback(PLAYSWARM_LOG_INFO, on_log, NULL, NULL, &error), error);
    playswarm_session *session = start(argc, argv, &source);
    must(playswarm_session_open(session, source, 0, NULL, &torrent, &error), error);
    must(playswarm_torrent_set_event_callback(torrent, 1000, on_event, NULL, NULL, &error), error);
    must(playswarm_torrent_default_file(torrent, &file, &error), error);
    must(playswarm_torrent_stream(torrent, file, &stream, &error), error);
    do
        must(playswarm_stream_read(stream, buffer, sizeof buffer, &n, &error), error);
    while (n > 0);
    playswarm_stream_unref(stream);
    playswarm_torrent_unref(torrent);
    playswarm_session_unref(session);
    playswarm_set_log_callback(0, NULL, NULL, NULL, NULL);
    return 0;
}
