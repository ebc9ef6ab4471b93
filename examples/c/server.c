/* A server for RTSP players: prints its URL, and serves until its standard input ends or Enter is
 * pressed.
 *
 *     ./server dir=/var/tmp/films film.torrent
 */
#include "setup.h"

int main(int argc, char **argv) {
    const char *source;
    playswarm_torrent *torrent = NULL;
    playswarm_rtsp_server *server = NULL;
    playswarm_error *error = NULL;
    size_t file;

    playswarm_session *session = start(argc, argv, &source);
    must(playswarm_session_open(session, source, 0, NULL, &torrent, &error), error);
    must(playswarm_torrent_choose_file(torrent, NULL, &file, &error), error);
    must(playswarm_torrent_serve_rtsp(torrent, file, NULL, NULL, &server, &error), error);
    printf("%s\n", playswarm_rtsp_server_url(server));
    fflush(stdout);
    getchar();
    playswarm_rtsp_server_unref(server);
    playswarm_torrent_unref(torrent);
    playswarm_session_unref(session);
    return 0;
}
