/* The smallest player: writes the film to the standard input of a player.
 *
 *     ./player dir=/var/tmp/films film.torrent | mpv -
 */
#include "setup.h"

int main(int argc, char **argv) {
    static char buffer[1 << 16];
    const char *source;
    playswarm_torrent *torrent = NULL;
    playswarm_stream *stream = NULL;
    playswarm_error *error = NULL;
    size_t file, n;

    playswarm_session *session = start(argc, argv, &source);
    must(playswarm_session_open(session, source, 0, NULL, &torrent, &error), error);
    must(playswarm_torrent_default_file(torrent, &file, &error), error);
    must(playswarm_torrent_stream(torrent, file, &stream, &error), error);
    for (;;) {
        must(playswarm_stream_read(stream, buffer, sizeof buffer, &n, &error), error);
        if (n == 0 || fwrite(buffer, 1, n, stdout) < n || fflush(stdout) != 0)
            break; /* the end of the film, or the player closed its input */
    }
    playswarm_stream_unref(stream);
    playswarm_torrent_unref(torrent);
    playswarm_session_unref(session);
    return 0;
}
