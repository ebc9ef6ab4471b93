/* External failures have a code and a message. FOLDER/small is a file system with room for part of the film
 * only, if it is there. */
#include "common.h"

#include <sys/stat.h>

static void nobody_has_the_magnet(const given *g) {
    const char *magnet = "magnet:?xt=urn:btih:0123456789abcdef0123456789abcdef01234567";
    playswarm_torrent *torrent = NULL;
    playswarm_error *error = NULL;
    playswarm_session *session = new_session(g, NULL);
    SAYS(PLAYSWARM_TIMED_OUT, "longer than", error,
         playswarm_session_open(session, magnet, 50, NULL, &torrent, &error));
    CHECK(playswarm_code_is_temporary(PLAYSWARM_TIMED_OUT) && torrent == NULL);
    OK(playswarm_session_unref(session));

    playswarm_config *config = NULL;
    char *json = malloc(5000);
    snprintf(json, 5000,
             "{\"dir\": \"%s\", \"listen\": \"127.0.0.1:0\", \"dht\": false, \"lsd\": false, \"trackers\": false,"
             " \"port_map\": false, \"metadata_timeout_ms\": 50}",
             g->folder);
    OK(playswarm_config_from_json(json, &config, NULL));
    free(json);
    OK(playswarm_session_new(PLAYSWARM_ABI_VERSION, config, &session, NULL));
    OK(playswarm_config_unref(config));
    SAYS(PLAYSWARM_NO_METADATA, "check the link", error,
         playswarm_session_open(session, magnet, 0, NULL, &torrent, &error));
    SAYS(PLAYSWARM_FETCH, "could not fetch", error,
         playswarm_session_open(session, "http://127.0.0.1:1/film.torrent", 0, NULL, &torrent, &error));
    OK(playswarm_session_unref(session));
}

/* Fetches until the disk is full; reports the reason, also to a wait for the writes. */
static void nothing_can_be_written(const given *g, const char *folder, playswarm_code code, const char *part) {
    playswarm_session *session = new_session_in(folder, g->peer);
    playswarm_torrent *torrent = open_media(g, session);
    playswarm_error *error = NULL;
    char *trouble = NULL;
    OK(playswarm_torrent_fetch_all(torrent, 1));
    UNTIL((OK(playswarm_torrent_trouble(torrent, &trouble)), trouble != NULL));
    CHECK(strstr(trouble, part));
    OK(playswarm_string_free(trouble));
    playswarm_torrent_status status = {.struct_size = sizeof status};
    OK(playswarm_torrent_get_status(torrent, &status, NULL));
    CHECK(status.is_in_trouble == 1);
    SAYS(code, part, error, playswarm_torrent_sync(torrent, NULL, &error));
    OK(playswarm_torrent_unref(torrent));
    OK(playswarm_session_unref(session));
}

/* Another file has the name of the film: it stays unchanged, and the film gets another name. */
static void the_name_is_taken(const given *g) {
    char folder[4096], film[5000];
    struct stat info;
    snprintf(folder, sizeof folder, "%s/taken", g->folder);
    snprintf(film, sizeof film, "%s/film.mkv", folder);
    CHECK(mkdir(folder, 0700) == 0 && mkdir(film, 0700) == 0);
    playswarm_session *session = new_session_in(folder, g->peer);
    playswarm_torrent *torrent = open_media(g, session);
    playswarm_stream *stream = open_stream(torrent);
    expect(g, stream, 0, g->size);
    OK(playswarm_torrent_sync(torrent, NULL, NULL));
    OK(playswarm_stream_unref(stream));
    OK(playswarm_torrent_unref(torrent));
    OK(playswarm_session_unref(session));
    CHECK(stat(film, &info) == 0 && S_ISDIR(info.st_mode) && rmdir(film) == 0);
}

static void the_folder_goes_away(const given *g) {
    char folder[4096], away[5000];
    snprintf(folder, sizeof folder, "%s/removed", g->folder);
    CHECK(mkdir(folder, 0700) == 0);

    /* The folder of a running session is removed: playback continues. */
    playswarm_session *session = new_session_in(folder, g->peer);
    playswarm_torrent *torrent = open_media(g, session);
    playswarm_stream *stream = open_stream(torrent);
    expect(g, stream, 0, g->size / 2);
    OK(playswarm_torrent_sync(torrent, NULL, NULL));
    snprintf(away, sizeof away, "%s.away", folder);
    CHECK(rename(folder, away) == 0);
    expect(g, stream, g->size / 2, g->size - g->size / 2);
    OK(playswarm_stream_unref(stream));
    OK(playswarm_torrent_unref(torrent));
    OK(playswarm_session_unref(session));

    /* The folder is missing when a torrent is opened, and a file has its name. */
    FILE *f = fopen(folder, "w");
    CHECK(f != NULL && fclose(f) == 0);
    playswarm_config *config = NULL;
    playswarm_error *error = NULL;
    OK(playswarm_config_new(&config, NULL));
    OK(playswarm_config_set(config, "dir", folder, NULL));
    SAYS(PLAYSWARM_STORAGE, folder, error, playswarm_session_new(PLAYSWARM_ABI_VERSION, config, &session, &error));
    OK(playswarm_config_unref(config));
}

static void the_disk_is_full(const given *g) {
    char folder[4096];
    struct stat info;
    snprintf(folder, sizeof folder, "%s/small", g->folder);
    if (stat(folder, &info) == 0)
        nothing_can_be_written(g, folder, PLAYSWARM_DISK_FULL, "full");
}

int main(int argc, char **argv) {
    given g = begin(argc, argv);
    nobody_has_the_magnet(&g);
    the_name_is_taken(&g);
    the_folder_goes_away(&g);
    the_disk_is_full(&g);
    return end(&g);
}
