/* Shared code of the examples: settings and a source from the command line, and a message on
 * failure. */
#ifndef SETUP_H
#define SETUP_H

#include <playswarm.h>

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* Ends the program with the error's message if the call failed. */
static inline void must(playswarm_code code, playswarm_error *error) {
    if (code != PLAYSWARM_OK) {
        fprintf(stderr, "%s\n", error ? playswarm_error_message(error) : playswarm_code_description(code));
        playswarm_error_unref(error);
        exit(1);
    }
}

/* Starts a session with the settings in the arguments (KEY=VALUE before SOURCE); sets `source`. */
static inline playswarm_session *start(int argc, char **argv, const char **source) {
    playswarm_config *config = NULL;
    playswarm_session *session = NULL;
    playswarm_error *error = NULL;
    must(playswarm_config_new(&config, &error), error);
    for (int i = 1; i < argc - 1; i++) {
        char *value = strchr(argv[i], '=');
        if (!value) {
            fprintf(stderr, "'%s' is no setting; give KEY=VALUE, such as dir=/var/tmp/films\n", argv[i]);
            exit(2);
        }
        *value++ = '\0';
        must(playswarm_config_set(config, argv[i], value, &error), error);
    }
    if (argc < 2) {
        fprintf(stderr, "usage: %s [KEY=VALUE]... SOURCE\nSOURCE: a magnet link, a torrent file or its URL, or a channel\n", argv[0]);
        exit(2);
    }
    *source = argv[argc - 1];
    must(playswarm_session_new(PLAYSWARM_ABI_VERSION, config, &session, &error), error);
    playswarm_config_unref(config);
    return session;
}

#endif
