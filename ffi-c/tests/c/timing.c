/* Seeks by time. COUNT is the film's length in seconds, with a keyframe each second; 0 for a film of unknown duration. */
#include "common.h"

int main(int argc, char **argv) {
    given g = begin(argc, argv);
    const int64_t second = 1000000, duration = g.count * second;
    playswarm_session *session = new_session(&g, NULL);
    playswarm_torrent *torrent = open_media(&g, session);
    playswarm_stream *stream = open_stream(torrent);
    playswarm_error *error = NULL;
    int64_t time = 0;
    playswarm_seek_point seek_point = {.struct_size = sizeof seek_point};

    /* The time is unknown before any data has arrived. */
    OK(playswarm_stream_time(stream, &time));
    CHECK(time == -1);
    SAYS(PLAYSWARM_BAD_ARGUMENT, "the time -1", error, playswarm_stream_seek_time(stream, -1, &seek_point, &error));
    FAILS(PLAYSWARM_BAD_ARGUMENT, playswarm_stream_seek_time(stream, INT64_MIN, NULL, NULL));
    seek_point.struct_size = 8;
    SAYS(PLAYSWARM_BAD_ARGUMENT, "sizeof", error, playswarm_stream_seek_time(stream, 0, &seek_point, &error));
    seek_point.struct_size = sizeof seek_point;
    OK(playswarm_torrent_add_peer(torrent, g.peer, NULL));

    playswarm_time_info info = {.struct_size = sizeof info};
    OK(playswarm_torrent_get_time(torrent, 0, NULL, &info, NULL));
    FAILS(PLAYSWARM_NO_SUCH_FILE, playswarm_torrent_get_time(torrent, 1, NULL, &info, NULL));
    if (g.count == 0) {
        CHECK(info.is_estimate == 1 && info.duration_us == 0);
    } else {
        CHECK(info.is_estimate == 0 && info.tracks == 2 && info.keyframes >= (size_t)g.count);
        CHECK(info.duration_us > duration - second / 5 && info.duration_us < duration + second / 5);
    }
    /* Every seek in a film of unknown duration goes to its start. */
    const int64_t length = g.count == 0 ? 60 * second : info.duration_us;
    const int64_t targets[] = {length / 2, 0, length - second / 2, length / 3};
    for (size_t i = 0; i < sizeof targets / sizeof *targets; i++) {
        uint64_t position = 0;
        OK(playswarm_stream_seek_time(stream, targets[i], &seek_point, NULL));
        /* The first keyframe may be a little after the first sound. */
        CHECK(seek_point.time_us <= targets[i] || (targets[i] == 0 && seek_point.time_us < second / 10));
        CHECK(seek_point.position < g.size && seek_point.until <= g.size);
        CHECK((int)seek_point.is_estimate == (g.count == 0) && seek_point.reserved == 0);
        if (g.count > 0)
            CHECK(seek_point.time_us > targets[i] - second - second / 10);
        else
            CHECK(seek_point.time_us == 0 && seek_point.position == 0);
        OK(playswarm_stream_position(stream, &position));
        CHECK(position == seek_point.position);
        OK(playswarm_stream_time(stream, &time));
        CHECK(time >= seek_point.time_us - second / 10 && time <= targets[i] + second / 10);
        expect(&g, stream, (size_t)position, g.size - position < 1000 ? (size_t)(g.size - position) : 1000);
    }
    /* A time past the end gives the end. */
    OK(playswarm_stream_seek_time(stream, INT64_MAX, &seek_point, NULL));
    CHECK(seek_point.position <= g.size);
    OK(playswarm_stream_seek_time(stream, 0, NULL, NULL));

    OK(playswarm_stream_cancel(stream));
    FAILS(PLAYSWARM_CANCELLED, playswarm_stream_seek_time(stream, 0, NULL, NULL));
    OK(playswarm_stream_reset(stream));
    OK(playswarm_session_close(session, NULL));
    OK(playswarm_stream_unref(stream));
    OK(playswarm_torrent_unref(torrent));
    OK(playswarm_session_unref(session));
    return end(&g);
}
