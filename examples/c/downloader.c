/* Downloads all files of a torrent to the folder `dir`, with a progress bar. Ctrl-C ends it. The
 * next start resumes the download.
 *
 *     ./downloader dir=/var/tmp/films film.torrent
 */
#define _POSIX_C_SOURCE 200809L
#include "setup.h"

#include <signal.h>
#include <time.h>

static volatile sig_atomic_t stopped;

static void stop(int signal) {
    (void)signal;
    stopped = 1;
}

static void bar(const playswarm_torrent_status *s) {
    enum { WIDTH = 40 };
    double done = s->total_bytes ? (double)s->verified_bytes / (double)s->total_bytes : 1;
    char line[WIDTH + 1];
    for (int i = 0; i < WIDTH; i++)
        line[i] = i < done * WIDTH ? '#' : '.';
    line[WIDTH] = '\0';
    printf("\r[%s] %5.1f %%  %7.2f MB/s  %u peers ", line, done * 100, s->download_bytes_per_s / 1e6, s->peers);
    fflush(stdout);
}

int main(int argc, char **argv) {
    const struct timespec pause = {.tv_nsec = 200 * 1000 * 1000};
    const char *source;
    playswarm_torrent *torrent = NULL;
    playswarm_error *error = NULL;
    char *trouble = NULL;

    signal(SIGINT, stop);
    playswarm_session *session = start(argc, argv, &source);
    must(playswarm_session_open(session, source, 0, NULL, &torrent, &error), error);
    /* Accepts the data that is already there. */
    must(playswarm_torrent_recheck(torrent, NULL, NULL, &error), error);
    must(playswarm_torrent_fetch_all(torrent, 1), NULL);

    playswarm_torrent_status status = {.struct_size = sizeof status};
    printf("%s\n", playswarm_torrent_name(torrent));
    for (;;) {
        must(playswarm_torrent_get_status(torrent, &status, &error), error);
        bar(&status);
        if (stopped || status.verified_bytes == status.total_bytes)
            break;
        if (playswarm_torrent_trouble(torrent, &trouble) == PLAYSWARM_OK && trouble) {
            printf("\n%s\n", trouble);
            playswarm_string_free(trouble);
        }
        nanosleep(&pause, NULL);
    }
    printf("\n");
    must(playswarm_torrent_sync(torrent, NULL, &error), error);
    playswarm_torrent_unref(torrent);
    playswarm_session_unref(session);
    return stopped ? 130 : 0;
}
