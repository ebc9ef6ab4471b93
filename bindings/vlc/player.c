/* A player for programs that embed libVLC: its media callbacks on top of a playswarm stream. It
 * needs no plug-in.
 *
 *     player [KEY=VALUE]... SOURCE [SECONDS]...
 *
 * Plays SOURCE: a torrent or a live channel. With SECONDS it seeks to each of them in turn, prints the position two seconds
 * later, and ends. */
#define _POSIX_C_SOURCE 200809L
#include <playswarm.h>
#include <vlc/vlc.h>

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

static void fail(const char *what, playswarm_error *error) {
    fprintf(stderr, "player: %s: %s\n", what, playswarm_error_message(error));
    exit(1);
}

/* `opaque` is the stream. VLC's reader holds its own reference from here to close_media. */
static int open_media(void *opaque, void **data, uint64_t *size) {
    if (playswarm_stream_ref(opaque) != PLAYSWARM_OK)
        return -1;
    playswarm_stream_seek(opaque, 0, PLAYSWARM_SEEK_SET, NULL, NULL);
    *data = opaque;
    playswarm_code code = playswarm_stream_size(opaque, size);
    if (code == PLAYSWARM_NO_SIZE)
        *size = UINT64_MAX; /* as VLC wants it of a live channel */
    return code == PLAYSWARM_OK || code == PLAYSWARM_NO_SIZE ? 0 : -1;
}

/* VLC treats a cancelled read as the end of the film: see stop_playing. */
static ssize_t read_media(void *data, unsigned char *buffer, size_t capacity) {
    size_t n = 0;
    return playswarm_stream_read(data, buffer, capacity, &n, NULL) == PLAYSWARM_OK ? (ssize_t)n : -1;
}

static int seek_media(void *data, uint64_t offset) {
    if (offset > INT64_MAX)
        return -1;
    return playswarm_stream_seek(data, (int64_t)offset, PLAYSWARM_SEEK_SET, NULL, NULL) == PLAYSWARM_OK ? 0 : -1;
}

static void close_media(void *data) { playswarm_stream_unref(data); }

/* libVLC has no callback that ends a read, and stopping waits for the read: always cancel first. */
static void stop_playing(libvlc_media_player_t *player, playswarm_stream *stream) {
    playswarm_stream_cancel(stream);
    libvlc_media_player_stop(player);
    playswarm_stream_reset(stream);
}

static void sleep_ms(long ms) {
    struct timespec t = {ms / 1000, ms % 1000 * 1000000};
    nanosleep(&t, NULL);
}

/* Waits up to 30 seconds until playback continues from `from_ms`. Returns 0 if it ended or timed
 * out. */
static int plays_from(libvlc_media_player_t *player, libvlc_time_t from_ms) {
    for (int i = 0; i < 1500; i++) {
        libvlc_state_t state = libvlc_media_player_get_state(player);
        libvlc_time_t at = libvlc_media_player_get_time(player);
        if (state == libvlc_Ended || state == libvlc_Error)
            return 0;
        if (state == libvlc_Playing && at > from_ms && at < from_ms + 5000)
            return 1;
        sleep_ms(20);
    }
    return 0;
}

static int is_link(const char *text) {
    return strncmp(text, "magnet:", 7) == 0 || strncmp(text, "playswarm:", 10) == 0;
}

int main(int argc, char **argv) {
    playswarm_config *config = NULL;
    playswarm_session *session = NULL;
    playswarm_stream *stream = NULL;
    playswarm_error *error = NULL;
    int i = 1, status = 0;
    char *equals;

    setvbuf(stdout, NULL, _IOLBF, 0);
    playswarm_config_new(&config, NULL);
    for (; i < argc && !is_link(argv[i]) && (equals = strchr(argv[i], '=')); i++) {
        *equals = '\0';
        if (playswarm_config_set(config, argv[i], equals + 1, &error) != PLAYSWARM_OK)
            fail(argv[i], error);
    }
    if (i == argc) {
        fprintf(stderr, "usage: player [KEY=VALUE]... SOURCE [SECONDS]...\n");
        return 2;
    }
    const char *source = argv[i++];
    if (playswarm_session_new(PLAYSWARM_ABI_VERSION, config, &session, &error) != PLAYSWARM_OK ||
        playswarm_session_open_stream(session, source, NULL, 0, NULL, &stream, &error) != PLAYSWARM_OK)
        fail(source, error);
    playswarm_config_unref(config);

    const char *options = getenv("PLAYER_VLC_OPTION"); /* for example --vout=dummy */
    libvlc_instance_t *vlc = libvlc_new(options ? 1 : 0, &options);
    libvlc_media_t *film =
        vlc ? libvlc_media_new_callbacks(vlc, open_media, read_media, seek_media, close_media, stream) : NULL;
    libvlc_media_player_t *player = film ? libvlc_media_player_new_from_media(film) : NULL;
    if (!player || libvlc_media_player_play(player) != 0) {
        fprintf(stderr, "player: VLC cannot be started\n");
        return 1;
    }
    if (i == argc) {
        while (libvlc_media_player_get_state(player) != libvlc_Ended &&
               libvlc_media_player_get_state(player) != libvlc_Error)
            sleep_ms(100);
    } else if (!plays_from(player, 0)) {
        status = 1;
    }
    for (; i < argc && status == 0; i++) {
        sleep_ms(2000);
        printf("played to %.2f s\n", (double)libvlc_media_player_get_time(player) / 1000);
        libvlc_time_t target = (libvlc_time_t)(atof(argv[i]) * 1000);
        libvlc_media_player_set_time(player, target);
        if (!plays_from(player, target - 500)) {
            fprintf(stderr, "player: it did not go on after the jump to %s s\n", argv[i]);
            status = 1;
        }
        if (i == argc - 1) {
            sleep_ms(2000);
            printf("played to %.2f s\n", (double)libvlc_media_player_get_time(player) / 1000);
        }
    }
    stop_playing(player, stream);
    libvlc_media_player_release(player);
    libvlc_media_release(film);
    libvlc_release(vlc);
    playswarm_stream_unref(stream);
    playswarm_session_unref(session);
    return status;
}
