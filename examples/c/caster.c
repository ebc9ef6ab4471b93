/* The source of a live channel: casts what an encoder writes to standard input, and prints the link
 * for viewers.
 *
 *     ffmpeg -re -i film.mp4 -c copy -f mpegts - | ./caster listen=0.0.0.0:6881 'Film night'
 */
#define _POSIX_C_SOURCE 200809L
#include "setup.h"

#include <unistd.h>

int main(int argc, char **argv) {
    static char buffer[1 << 14];
    const char *name;
    char *link = NULL;
    playswarm_cast *cast = NULL;
    playswarm_error *error = NULL;
    playswarm_channel_status status = {.struct_size = sizeof status};
    ssize_t n;

    playswarm_session *session = start(argc, argv, &name);
    must(playswarm_session_cast(session, NULL, name, NULL, 0, &cast, &error), error);
    must(playswarm_cast_link(cast, &link, &error), error);
    printf("%s\n", link);
    fflush(stdout);
    playswarm_string_free(link);
    /* The encoder gives the pace. */
    while ((n = read(STDIN_FILENO, buffer, sizeof buffer)) > 0)
        must(playswarm_cast_write(cast, buffer, (size_t)n, &error), error);
    must(playswarm_cast_end(cast, &error), error);
    must(playswarm_cast_get_status(cast, &status, &error), error);
    fprintf(stderr, "ended with %u connections\n", status.connections);
    sleep(1); /* for the last packets */
    playswarm_cast_unref(cast);
    playswarm_session_unref(session);
    return 0;
}
