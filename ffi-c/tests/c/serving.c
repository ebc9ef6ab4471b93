/* An RTSP server of a torrent; the file that is chosen; the progress of a magnet link; the ranges of settings. COUNT is
 * how many seconds the film plays; 0 for one that is no film. */
#include "common.h"

#include <arpa/inet.h>
#include <netinet/in.h>
#include <sys/socket.h>

/* Connects to the address in a URL. */
static int dial(const char *url) {
    char host[64];
    unsigned port = 0;
    CHECK(sscanf(url, "rtsp://%63[0-9.]:%u/", host, &port) == 2);
    struct sockaddr_in to = {.sin_family = AF_INET, .sin_port = htons((uint16_t)port)};
    CHECK(inet_pton(AF_INET, host, &to.sin_addr) == 1);
    int fd = socket(AF_INET, SOCK_STREAM, 0);
    CHECK(fd >= 0);
    if (connect(fd, (struct sockaddr *)&to, sizeof to) != 0) {
        close(fd);
        return -1;
    }
    return fd;
}

/* Sends a request and returns the head of its answer, which the next call overwrites. */
static const char *ask(int fd, const char *method, const char *url, const char *headers) {
    static char text[65536];
    int length = snprintf(text, sizeof text, "%s %s RTSP/1.0\r\nCSeq: 1\r\n%s\r\n", method, url, headers);
    CHECK(send(fd, text, (size_t)length, 0) == length);
    size_t got = 0;
    do {
        CHECK(got + 1 < sizeof text && recv(fd, text + got, 1, 0) == 1);
        text[++got] = 0;
    } while (got < 4 || strcmp(text + got - 4, "\r\n\r\n") != 0);
    return text;
}

static void serves(const given *g, playswarm_torrent *torrent) {
    playswarm_rtsp_server *server = NULL;
    playswarm_error *error = NULL;
    SAYS(PLAYSWARM_NO_SUCH_FILE, "9", error, playswarm_torrent_serve_rtsp(torrent, 9, NULL, NULL, &server, &error));
    SAYS(PLAYSWARM_BAD_ARGUMENT, "\"here\"", error,
         playswarm_torrent_serve_rtsp(torrent, 0, "here", NULL, &server, &error));
    SAYS(PLAYSWARM_BAD_CONFIG, "token", error, playswarm_torrent_serve_rtsp(torrent, 0, NULL, "a/b", &server, &error));
    SAYS(PLAYSWARM_LISTEN, "192.0.2.1", error,
         playswarm_torrent_serve_rtsp(torrent, 0, "192.0.2.1:1", NULL, &server, &error));
    CHECK(server == NULL);
    OK(playswarm_torrent_serve_rtsp(torrent, 0, "127.0.0.1:0", "S3cret", &server, NULL));
    /* It keeps the torrent and the session. */
    char url[256], track[300];
    snprintf(url, sizeof url, "%s", playswarm_rtsp_server_url(server));
    CHECK(strstr(url, "/~S3cret/0/film.mkv") != NULL);
    int fd = dial(url);
    CHECK(strncmp(ask(fd, "OPTIONS", url, ""), "RTSP/1.0 200 ", 13) == 0);
    CHECK(strncmp(ask(fd, "DESCRIBE", "rtsp://127.0.0.1/0/film.mkv", ""), "RTSP/1.0 401 ", 13) == 0);
    char *json = NULL;
    OK(playswarm_rtsp_server_sessions_json(server, &json, NULL));
    CHECK(strcmp(json, "[]") == 0);
    OK(playswarm_string_free(json));
    snprintf(track, sizeof track, "%s/track0", url);
    const char *answer =
        ask(fd, "SETUP", track, "User-Agent: c-test\r\nTransport: RTP/AVP/TCP;unicast;interleaved=0-1\r\n");
    CHECK(strncmp(answer, g->count > 0 ? "RTSP/1.0 200 " : "RTSP/1.0 415 ", 13) == 0);
    OK(playswarm_rtsp_server_sessions_json(server, &json, NULL));
    CHECK((strstr(json, "\"transport\":\"tcp\"") && strstr(json, "\"client\":\"c-test\"")) == (g->count > 0));
    OK(playswarm_string_free(json));
    OK(playswarm_rtsp_server_ref(server));
    OK(playswarm_rtsp_server_unref(server));
    CHECK(playswarm_rtsp_server_url(server)[0] == 'r');
    OK(playswarm_rtsp_server_unref(server));
    CHECK(playswarm_rtsp_server_url(server)[0] == 0);
    /* The last release ended the connection and the listener. */
    char byte;
    CHECK(recv(fd, &byte, 1, 0) <= 0);
    close(fd);
    CHECK(dial(url) == -1);
}

typedef struct {
    playswarm_session *session;
    playswarm_canceller *canceller;
} opening;

static void *opens(void *data) {
    opening *o = data;
    playswarm_torrent *torrent = NULL;
    FAILS(PLAYSWARM_CANCELLED, playswarm_session_open(o->session, "0123456789012345678901234567890123456789", 0,
                                                      o->canceller, &torrent, NULL));
    return NULL;
}

static void shows_what_is_opened(playswarm_session *session) {
    opening o = {session, NULL};
    pthread_t thread;
    char *json = NULL;
    OK(playswarm_session_opening_json(session, &json, NULL));
    CHECK(strcmp(json, "[]") == 0);
    OK(playswarm_string_free(json));
    OK(playswarm_canceller_new(&o.canceller, NULL));
    CHECK(pthread_create(&thread, NULL, opens, &o) == 0);
    for (int is_shown = 0; !is_shown; pause_us(5000)) {
        OK(playswarm_session_opening_json(session, &json, NULL));
        is_shown = strstr(json, "\"info_hash\":\"0123456789012345678901234567890123456789\"") &&
                   strstr(json, "\"received_bytes\":0") && strstr(json, "\"trackers\":[]");
        OK(playswarm_string_free(json));
    }
    OK(playswarm_canceller_cancel(o.canceller));
    CHECK(pthread_join(thread, NULL) == 0);
    OK(playswarm_canceller_unref(o.canceller));
}

int main(int argc, char **argv) {
    given g = begin(argc, argv);
    playswarm_config *config = NULL;
    char *json = NULL;
    OK(playswarm_config_new(&config, NULL));
    OK(playswarm_config_ranges_json(config, &json, NULL));
    CHECK(strstr(json, "{\"name\":\"upload_slots\",\"value\":8.0,\"least\":1.0,\"most\":65535.0}"));
    CHECK(strstr(json, "\"advanced.picker.read_ahead_s\"") && !strstr(json, "seed\""));
    OK(playswarm_string_free(json));
    OK(playswarm_config_unref(config));

    playswarm_session *session = new_session(&g, g.peer);
    playswarm_torrent *torrent = open_media(&g, session);
    size_t file = 9;
    OK(playswarm_torrent_choose_file(torrent, NULL, &file, NULL));
    CHECK(file == 0);
    shows_what_is_opened(session);
    serves(&g, torrent);
    OK(playswarm_session_close(session, NULL));
    OK(playswarm_torrent_unref(torrent));
    OK(playswarm_session_unref(session));
    return end(&g);
}
