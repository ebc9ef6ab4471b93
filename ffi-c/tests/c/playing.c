/* A film from a peer: opened in four ways, listed, read in parts and as a whole, with its status. */
#include "common.h"

static void look_at(const given *g, playswarm_torrent *torrent) {
    size_t files = 0, file = 9;
    uint8_t hash[20];
    OK(playswarm_torrent_file_count(torrent, &files));
    CHECK(files == 1);
    playswarm_file_info info = {.struct_size = sizeof info};
    OK(playswarm_torrent_file(torrent, 0, &info, NULL));
    CHECK(info.length == g->size && strcmp(info.name, "film.mkv") == 0);
    CHECK(strcmp(info.content_type, "video/x-matroska") == 0 && info.is_playable == 1 && info.is_padding == 0);
    CHECK(strcmp(playswarm_torrent_name(torrent), "film.mkv") == 0);
    OK(playswarm_torrent_default_file(torrent, &file, NULL));
    CHECK(file == 0);
    file = 9;
    OK(playswarm_torrent_find_file(torrent, "FILM", &file, NULL));
    CHECK(file == 0);
    OK(playswarm_torrent_info_hash(torrent, hash));
}

int main(int argc, char **argv) {
    given g = begin(argc, argv);
    playswarm_session *session = new_session(&g, g.peer);
    uint16_t port = 0;
    OK(playswarm_session_port(session, &port));
    CHECK(port != 0);
    playswarm_torrent *torrent = open_media(&g, session);
    look_at(&g, torrent);
    OK(playswarm_torrent_prefetch(torrent, 0));

    playswarm_stream *stream = open_stream(torrent);
    uint64_t size = 0, position = 1;
    OK(playswarm_stream_size(stream, &size));
    CHECK(size == g.size);
    OK(playswarm_stream_position(stream, &position));
    CHECK(position == 0);
    /* Parts of it, then the whole film. */
    unsigned long random = 1;
    for (int i = 0; i < 20; i++) {
        size_t at = next_random(&random) % g.size, length = g.size - at < 30000 ? g.size - at : 30000;
        OK(playswarm_stream_seek(stream, (int64_t)at, PLAYSWARM_SEEK_SET, NULL, NULL));
        expect(&g, stream, at, length);
    }
    OK(playswarm_stream_seek(stream, 0, PLAYSWARM_SEEK_SET, NULL, NULL));
    expect(&g, stream, 0, g.size);
    char byte;
    size_t n = 1;
    OK(playswarm_stream_read(stream, &byte, 1, &n, NULL));
    CHECK(n == 0);
    uint64_t readable = 0;
    OK(playswarm_stream_readable_at(stream, 0, &readable));
    CHECK(readable == g.size);

    playswarm_torrent_status status = {.struct_size = sizeof status};
    OK(playswarm_torrent_get_status(torrent, &status, NULL));
    CHECK(status.struct_size == sizeof status && status.total_bytes == g.size && status.verified_bytes == g.size);
    CHECK(status.peers == 1 && status.readers == 1 && status.waiting_readers == 0 && status.is_in_trouble == 0 && status.parents == 0);
    CHECK(status.downloaded_bytes >= g.size && status.waste_failed_bytes == 0);
    char *text = (char *)"";
    OK(playswarm_torrent_trouble(torrent, &text));
    CHECK(text == NULL);
    OK(playswarm_torrent_status_json(torrent, &text, NULL));
    CHECK(strstr(text, "\"peers\":[{") && strstr(text, g.peer));
    OK(playswarm_string_free(text));
    size_t pieces = 0;
    char *map = malloc(status.pieces);
    OK(playswarm_torrent_piece_map(torrent, map, status.pieces, &pieces, NULL));
    CHECK(pieces == status.pieces);
    for (size_t i = 0; i < pieces; i++)
        CHECK(map[i] == '#');
    memset(map, 'x', pieces);
    OK(playswarm_torrent_piece_map(torrent, map, 2, &pieces, NULL));
    CHECK(pieces == status.pieces && map[1] == '#' && map[2] == 'x');
    free(map);
    OK(playswarm_torrent_sync(torrent, NULL, NULL));

    /* The same torrent opened in the other ways is shared. */
    size_t length = 0;
    uint8_t *bytes = read_file(g.torrent, &length), hash[20];
    OK(playswarm_torrent_info_hash(torrent, hash));
    playswarm_torrent *again = NULL;
    OK(playswarm_session_open_bytes(session, bytes, length, 0, NULL, &again, NULL));
    free(bytes);
    look_at(&g, again);
    OK(playswarm_torrent_unref(again));
    OK(playswarm_session_open_info_hash(session, hash, 0, NULL, &again, NULL));
    look_at(&g, again);
    OK(playswarm_torrent_unref(again));
    char magnet[80] = "magnet:?xt=urn:btih:";
    for (int i = 0; i < 20; i++)
        sprintf(magnet + strlen(magnet), "%02x", hash[i]);
    OK(playswarm_session_open(session, magnet, 0, NULL, &again, NULL));
    OK(playswarm_torrent_unref(again));
    OK(playswarm_stream_unref(stream));
    OK(playswarm_torrent_unref(torrent));
    OK(playswarm_session_close(session, NULL));
    OK(playswarm_session_unref(session));

    /* A magnet link from a peer alone, in an empty folder; the whole film is fetched without a reader. */
    char folder[4096];
    snprintf(folder, sizeof folder, "%s/magnet", g.folder);
    session = new_session_in(folder, g.peer);
    OK(playswarm_session_open(session, magnet, 20000, NULL, &torrent, NULL));
    look_at(&g, torrent);
    OK(playswarm_torrent_fetch_all(torrent, 1));
    do {
        pause_us(10000);
        OK(playswarm_torrent_get_status(torrent, &status, NULL));
    } while (status.verified_bytes < g.size);
    OK(playswarm_torrent_unref(torrent));
    /* The last release writes all data, and the next session finds it. */
    OK(playswarm_session_unref(session));
    session = new_session_in(folder, NULL);
    torrent = open_media(&g, session);
    uint64_t verified = 0;
    OK(playswarm_torrent_recheck(torrent, NULL, &verified, NULL));
    CHECK(verified == g.size);
    stream = open_stream(torrent);
    expect(&g, stream, 0, g.size);

    /* A stream outlives the handles of its torrent and its session. */
    OK(playswarm_torrent_unref(torrent));
    OK(playswarm_session_unref(session));
    OK(playswarm_stream_seek(stream, 1000, PLAYSWARM_SEEK_SET, NULL, NULL));
    expect(&g, stream, 1000, 5000);
    OK(playswarm_stream_unref(stream));
    return end(&g);
}
