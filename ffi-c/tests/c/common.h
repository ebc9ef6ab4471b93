/* Shared code of the tests: checks that end the program, the swarm of the arguments, bounded waits.
 *
 * Arguments of each test: TORRENT FILM PEER FOLDER [COUNT]: a torrent file, its film, a peer that seeds it, an empty folder. */
#ifndef COMMON_H
#define COMMON_H

#include <playswarm.h>

#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#define CHECK(condition) check((condition) != 0, #condition, __FILE__, __LINE__)
/* Checks that the call succeeds. */
#define OK(call) check_code((call), PLAYSWARM_OK, #call, __FILE__, __LINE__)
/* Checks that the call fails with this code. */
#define FAILS(code, call) check_code((call), (code), #call, __FILE__, __LINE__)
/* The same, with a message that contains this text; `error` is the call's error. */
#define SAYS(code, part, error, call)                                                                                  \
    do {                                                                                                               \
        FAILS(code, call);                                                                                             \
        check_says((code), (part), &(error), #call, __FILE__, __LINE__);                                               \
    } while (0)

static inline void check(int holds, const char *what, const char *file, int line) {
    if (!holds) {
        fprintf(stderr, "%s:%d: check failed: %s\n", file, line, what);
        exit(1);
    }
}

static inline void check_code(int got, int wanted, const char *what, const char *file, int line) {
    if (got != wanted) {
        fprintf(stderr, "%s:%d: %s gave %s instead of %s\n", file, line, what, playswarm_code_name(got),
                playswarm_code_name(wanted));
        exit(1);
    }
}

static inline void check_says(int code, const char *part, playswarm_error **error, const char *what, const char *file,
                              int line) {
    const char *message = playswarm_error_message(*error);
    if (*error == NULL || playswarm_error_code(*error) != code || strstr(message, part) == NULL) {
        fprintf(stderr, "%s:%d: %s says '%s', without '%s'\n", file, line, what, message, part);
        exit(1);
    }
    OK(playswarm_error_unref(*error));
    *error = NULL;
}

typedef struct {
    const char *torrent, *peer, *folder;
    unsigned char *film;
    size_t size;
    long count;
} given;

static inline void *read_file(const char *path, size_t *size) {
    FILE *f = fopen(path, "rb");
    CHECK(f != NULL);
    fseek(f, 0, SEEK_END);
    *size = (size_t)ftell(f);
    rewind(f);
    void *bytes = malloc(*size);
    CHECK(bytes != NULL && fread(bytes, 1, *size, f) == *size);
    fclose(f);
    return bytes;
}

static inline given begin(int argc, char **argv) {
    CHECK(argc >= 5);
    given g = {.torrent = argv[1], .peer = argv[3], .folder = argv[4], .count = argc > 5 ? atol(argv[5]) : 100};
    g.film = read_file(argv[2], &g.size);
    return g;
}

/* At the end of a test: checks that no handle is alive. */
static inline int end(given *g) {
    free(g->film);
    if (playswarm_live_handles() != 0) {
        fprintf(stderr, "%zu handles are still alive\n", playswarm_live_handles());
        return 1;
    }
    return 0;
}

/* Starts a session on loopback alone, with this peer or none. */
static inline playswarm_session *new_session_in(const char *folder, const char *peer) {
    playswarm_config *config = NULL;
    OK(playswarm_config_new(&config, NULL));
    OK(playswarm_config_set(config, "dir", folder, NULL));
    OK(playswarm_config_set(config, "listen", "127.0.0.1:0", NULL));
    static const char *const off[] = {"dht", "lsd", "pex", "trackers", "port_map"};
    for (size_t i = 0; i < sizeof off / sizeof *off; i++)
        OK(playswarm_config_set(config, off[i], "false", NULL));
    OK(playswarm_config_set(config, "peers", peer ? peer : "", NULL));
    playswarm_session *session = NULL;
    OK(playswarm_session_new(PLAYSWARM_ABI_VERSION, config, &session, NULL));
    OK(playswarm_config_unref(config));
    return session;
}

static inline playswarm_session *new_session(const given *g, const char *peer) {
    return new_session_in(g->folder, peer);
}

static inline playswarm_torrent *open_media(const given *g, playswarm_session *session) {
    playswarm_torrent *torrent = NULL;
    playswarm_error *error = NULL;
    playswarm_code code = playswarm_session_open_file(session, g->torrent, 20000, NULL, &torrent, &error);
    if (code != PLAYSWARM_OK)
        fprintf(stderr, "open: %s\n", playswarm_error_message(error));
    OK(code);
    return torrent;
}

static inline playswarm_stream *open_stream(playswarm_torrent *torrent) {
    size_t file = 0;
    playswarm_stream *stream = NULL;
    OK(playswarm_torrent_default_file(torrent, &file, NULL));
    OK(playswarm_torrent_stream(torrent, file, &stream, NULL));
    return stream;
}

/* Reads `length` bytes from the stream's position and compares them with the film from `at` on. */
static inline void expect(const given *g, playswarm_stream *stream, size_t at, size_t length) {
    unsigned char buffer[65536];
    for (size_t done = 0; done < length;) {
        size_t n = 0, want = length - done < sizeof buffer ? length - done : sizeof buffer;
        playswarm_error *error = NULL;
        if (playswarm_stream_read(stream, buffer, want, &n, &error) != PLAYSWARM_OK) {
            fprintf(stderr, "read at %zu: %s\n", at + done, playswarm_error_message(error));
            exit(1);
        }
        CHECK(n > 0 && n <= want);
        CHECK(memcmp(buffer, g->film + at + done, n) == 0);
        done += n;
    }
}

static inline void pause_us(long us) {
    struct timespec t = {us / 1000000, us % 1000000 * 1000};
    nanosleep(&t, NULL);
}

/* Waits until the condition holds, for a minute at most. */
#define UNTIL(condition)                                                                                               \
    do {                                                                                                               \
        for (int tries_ = 0; !(condition); tries_++) {                                                                 \
            check(tries_ < 12000, "timed out: " #condition, __FILE__, __LINE__);                                         \
            pause_us(5000);                                                                                            \
        }                                                                                                              \
    } while (0)

/* Returns small pseudo-random numbers from a seed. */
static inline unsigned long next_random(unsigned long *state) {
    *state = *state * 6364136223846793005UL + 1442695040888963407UL;
    return *state >> 33;
}

#endif
