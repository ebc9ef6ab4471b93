/* The smallest player: writes a film or a live channel to the standard input of a player.
 *
 *     ./player dir=/var/tmp/films film.torrent | mpv -
 *     ./player 'playswarm:KEY?at=192.168.1.5:6881' | mpv -
 */
#include "setup.h"

int main(int argc, char **argv) {
    static char buffer[1 << 16];
    const char *source;
    playswarm_stream *stream = NULL;
    playswarm_error *error = NULL;
    size_t n;

    playswarm_session *session = start(argc, argv, &source);
    must(playswarm_session_open_stream(session, source, NULL, 0, NULL, &stream, &error), error);
    for (;;) {
        must(playswarm_stream_read(stream, buffer, sizeof buffer, &n, &error), error);
        if (n == 0 || fwrite(buffer, 1, n, stdout) < n || fflush(stdout) != 0)
            break; /* the end of the film, or the player closed its input */
    }
    playswarm_stream_unref(stream);
    playswarm_session_unref(session);
    return 0;
}
