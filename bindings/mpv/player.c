/* A player: libmpv with the protocol playswarm://.
 *
 *     player [--MPV-OPTION[=VALUE]]... [KEY=VALUE]... URL [SECONDS]...
 *
 * MPV-OPTIONs are options of mpv. KEY=VALUE are settings of playswarm. URL is playswarm://SOURCE or
 * any other URL that mpv plays. With SECONDS it seeks to each of them in turn, two seconds after
 * the previous one, prints the position, and ends. */
#define _POSIX_C_SOURCE 200809L
#include "playswarm_mpv.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

static double now(void) {
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return (double)t.tv_sec + (double)t.tv_nsec / 1e9;
}

static void fail(const char *what, const char *why) {
    fprintf(stderr, "player: %s: %s\n", what, why);
    exit(1);
}

static double position(mpv_handle *mpv) {
    double at = -1;
    mpv_get_property(mpv, "time-pos", MPV_FORMAT_DOUBLE, &at);
    return at;
}

int main(int argc, char **argv) {
    mpv_handle *mpv = mpv_create();
    playswarm_config *config = NULL;
    playswarm_session *session = NULL;
    playswarm_error *error = NULL;
    if (!mpv || playswarm_config_new(&config, NULL) != PLAYSWARM_OK)
        fail("start", "no memory");
    mpv_set_option_string(mpv, "input-default-bindings", "yes");
    mpv_set_option_string(mpv, "input-vo-keyboard", "yes");
    setvbuf(stdout, NULL, _IOLBF, 0);
    int i = 1;
    for (; i < argc && !strstr(argv[i], "://"); i++) {
        char *value = strchr(argv[i], '=');
        if (value)
            *value++ = '\0';
        if (strncmp(argv[i], "--", 2) == 0) {
            int result = mpv_set_option_string(mpv, argv[i] + 2, value ? value : "yes");
            if (result < 0)
                fail(argv[i], mpv_error_string(result));
        } else if (!value) {
            fail(argv[i], "neither an option, a setting nor a URL");
        } else if (playswarm_config_set(config, argv[i], value, &error) != PLAYSWARM_OK) {
            fail(argv[i], playswarm_error_message(error));
        }
    }
    if (i == argc)
        fail("usage", "player [--MPV-OPTION[=VALUE]]... [KEY=VALUE]... URL [SECONDS]...");
    const char *url = argv[i++];

    double start = now();
    if (playswarm_session_new(PLAYSWARM_ABI_VERSION, config, &session, &error) != PLAYSWARM_OK)
        fail("session", playswarm_error_message(error));
    playswarm_config_unref(config);
    if (mpv_initialize(mpv) < 0)
        fail("mpv", "cannot be started");
    playswarm_mpv *protocol = playswarm_mpv_register(mpv, session);
    if (!protocol)
        fail("mpv", "does not take the protocol");
    playswarm_session_unref(session); /* the protocol has its own reference */
    const char *load[] = {"loadfile", url, NULL};
    mpv_command(mpv, load);

    int jumps = argc > i, status = 0, playing = 0;
    double next = 0;
    for (;;) {
        mpv_event *event = mpv_wait_event(mpv, playing && jumps ? 0.05 : -1);
        if (event->event_id == MPV_EVENT_PLAYBACK_RESTART) {
            printf("%s %.2f s after %.3f s\n", playing ? "at" : "first frame at", position(mpv), now() - start);
            playing = 1;
            start = now();
            next = start + 2;
        } else if (event->event_id == MPV_EVENT_END_FILE) {
            mpv_event_end_file *end = event->data;
            if (end->reason == MPV_END_FILE_REASON_ERROR) {
                fprintf(stderr, "player: %s: %s\n", url, mpv_error_string(end->error));
                status = 1;
            }
            break;
        } else if (event->event_id == MPV_EVENT_SHUTDOWN) {
            break;
        }
        if (jumps && playing && next && now() >= next) {
            printf("played to %.2f s\n", position(mpv));
            if (i == argc)
                break;
            next = 0;
            start = now();
            const char *jump[] = {"seek", argv[i++], "absolute+exact", NULL};
            mpv_command(mpv, jump);
        }
    }
    playswarm_mpv_stop_opening(protocol);
    mpv_terminate_destroy(mpv);
    playswarm_mpv_free(protocol);
    return status;
}
