/* An access plug-in with which VLC plays magnet links, torrent files and live channels.
 *
 *     vlc 'magnet:?xt=urn:btih:…'      vlc film.torrent      vlc playswarm://SOURCE
 *     vlc 'playswarm:KEY?at=…'
 *
 * VLC interprets a link on its command line as a file name, so the plug-in checks file names too.
 * Other names are left to VLC's own access plug-ins. */
#define _GNU_SOURCE
#include <vlc_common.h>

#include <vlc_access.h>
#include <vlc_interrupt.h>
#include <vlc_plugin.h>
#include <vlc_threads.h>
#include <vlc_url.h>

#include <playswarm.h>

#include <string.h>
#include <strings.h>

static int Open(vlc_object_t *);
static void Close(vlc_object_t *);

vlc_module_begin()
    set_shortname("playswarm")
    set_description("BitTorrent swarms, while they download (playswarm)")
    set_category(CAT_INPUT)
    set_subcategory(SUBCAT_INPUT_ACCESS)
    add_string("playswarm-settings", NULL, "Settings",
               "Settings of playswarm: KEY=VALUE, separated by semicolons, such as dir=/var/tmp/films;disk_limit_bytes=20000000000",
               false)
    add_string("playswarm-file", NULL, "File", "The file to play: its number or (a part of) its name; else the largest", false)
    /* Above the priority of VLC's file access, which is tried when this plug-in declines. */
    set_capability("access", 60)
    add_shortcut("playswarm", "magnet", "file")
    set_callbacks(Open, Close)
vlc_module_end()

/* One session for all open films, because two sessions cannot share a folder. */
static vlc_mutex_t lock = VLC_STATIC_MUTEX;
static playswarm_session *shared;
static unsigned users;

struct access_sys {
    playswarm_stream *stream;
    uint64_t size;
    bool is_live; /* without a size, and not seekable */
};

static void complain(vlc_object_t *obj, const char *what, playswarm_error *error) {
    msg_Err(obj, "%s: %s", what, playswarm_error_message(error));
    playswarm_error_unref(error);
}

static playswarm_session *start_session(vlc_object_t *obj) {
    playswarm_config *config = NULL;
    playswarm_session *session = NULL;
    playswarm_error *error = NULL;
    playswarm_code code = playswarm_config_new(&config, &error);
    char *settings = var_InheritString(obj, "playswarm-settings"), *rest = NULL;
    for (char *s = settings ? strtok_r(settings, ";", &rest) : NULL; s && code == PLAYSWARM_OK;
         s = strtok_r(NULL, ";", &rest)) {
        char *value = strchr(s, '=');
        if (value)
            *value++ = '\0';
        code = playswarm_config_set(config, s, value ? value : "", &error);
    }
    free(settings);
    if (code == PLAYSWARM_OK)
        code = playswarm_session_new(PLAYSWARM_ABI_VERSION, config, &session, &error);
    if (code != PLAYSWARM_OK)
        complain(obj, "no session", error);
    playswarm_config_unref(config);
    return session;
}

static playswarm_session *take_session(vlc_object_t *obj) {
    vlc_mutex_lock(&lock);
    if (!shared)
        shared = start_session(obj);
    if (shared)
        users++;
    playswarm_session *session = shared;
    vlc_mutex_unlock(&lock);
    return session;
}

static void give_session_back(void) {
    vlc_mutex_lock(&lock);
    playswarm_session *last = --users == 0 ? shared : NULL;
    if (last)
        shared = NULL;
    /* Under the lock, because the next session may use the same folder. */
    playswarm_session_unref(last);
    vlc_mutex_unlock(&lock);
}

/* Returns the source to open, or NULL if this plug-in does not handle the URL. */
static char *source_of(const stream_t *access) {
    const char *location = access->psz_location ? access->psz_location : "";
    if (strcasecmp(access->psz_name, "playswarm") == 0) {
        char *source = strdup(location);
        return source ? vlc_uri_decode(source) : NULL;
    }
    if (strcasecmp(access->psz_name, "magnet") == 0)
        return access->psz_url ? strdup(access->psz_url) : NULL;
    const char *path = access->psz_filepath;
    if (!path)
        return NULL;
    /* `vlc magnet:?xt=…` arrives as a file with that name in the current folder. */
    static const char *const links[] = {"/magnet:?", "/playswarm:"};
    for (size_t i = 0; i < sizeof links / sizeof *links; i++) {
        const char *link = strcasestr(path, links[i]);
        if (link)
            return strdup(link + 1);
    }
    size_t length = strlen(path);
    return length > 8 && strcasecmp(path + length - 8, ".torrent") == 0 ? strdup(path) : NULL;
}

static void cancel_open(void *canceller) { playswarm_canceller_cancel(canceller); }

static void cancel_read(void *stream) { playswarm_stream_cancel(stream); }

/* VLC interrupts a read when it stops or the user seeks. A read that did not end would block it
 * forever. */
static ssize_t Read(stream_t *access, void *buffer, size_t capacity) {
    struct access_sys *sys = access->p_sys;
    playswarm_error *error = NULL;
    size_t n = 0;
    vlc_interrupt_register(cancel_read, sys->stream);
    playswarm_code code = playswarm_stream_read(sys->stream, buffer, capacity, &n, &error);
    vlc_interrupt_unregister();
    if (code == PLAYSWARM_CANCELLED) {
        playswarm_error_unref(error);
        playswarm_stream_reset(sys->stream);
        return vlc_killed() ? 0 : -1;
    }
    if (code != PLAYSWARM_OK) {
        complain(VLC_OBJECT(access), "read", error);
        return 0;
    }
    return (ssize_t)n;
}

static int Seek(stream_t *access, uint64_t position) {
    struct access_sys *sys = access->p_sys;
    if (position > INT64_MAX)
        return VLC_EGENERIC;
    msg_Dbg(access, "seek to byte %" PRIu64, position);
    playswarm_code code = playswarm_stream_seek(sys->stream, (int64_t)position, PLAYSWARM_SEEK_SET, NULL, NULL);
    return code == PLAYSWARM_OK ? VLC_SUCCESS : VLC_EGENERIC;
}

static int Control(stream_t *access, int query, va_list args) {
    struct access_sys *sys = access->p_sys;
    switch (query) {
    case STREAM_CAN_SEEK:
    case STREAM_CAN_FASTSEEK:
        *va_arg(args, bool *) = !sys->is_live;
        return VLC_SUCCESS;
    case STREAM_CAN_PAUSE:
    case STREAM_CAN_CONTROL_PACE:
        *va_arg(args, bool *) = true;
        return VLC_SUCCESS;
    case STREAM_GET_SIZE:
        if (sys->is_live)
            return VLC_EGENERIC;
        *va_arg(args, uint64_t *) = sys->size;
        return VLC_SUCCESS;
    case STREAM_GET_PTS_DELAY:
        *va_arg(args, int64_t *) = INT64_C(1000) * var_InheritInteger(access, "network-caching");
        return VLC_SUCCESS;
    case STREAM_SET_PAUSE_STATE:
        return VLC_SUCCESS;
    default:
        return VLC_EGENERIC;
    }
}

static playswarm_stream *open_stream(stream_t *access, playswarm_session *session, const char *source) {
    playswarm_canceller *canceller = NULL;
    playswarm_stream *stream = NULL;
    playswarm_error *error = NULL;
    char *file = var_InheritString(access, "playswarm-file");
    playswarm_code code = playswarm_canceller_new(&canceller, &error);
    if (code == PLAYSWARM_OK) {
        vlc_interrupt_register(cancel_open, canceller);
        code = playswarm_session_open_stream(session, source, file, 0, canceller, &stream, &error);
        vlc_interrupt_unregister();
    }
    if (code != PLAYSWARM_OK)
        complain(VLC_OBJECT(access), source, error);
    else
        msg_Dbg(access, "plays %s", source);
    free(file);
    playswarm_canceller_unref(canceller);
    return stream;
}

static int Open(vlc_object_t *obj) {
    stream_t *access = (stream_t *)obj;
    /* Preparsing a playlist must not start a download. */
    if (access->b_preparsing)
        return VLC_EGENERIC;
    char *source = source_of(access);
    if (!source)
        return VLC_EGENERIC;
    struct access_sys *sys = vlc_obj_calloc(obj, 1, sizeof *sys);
    playswarm_session *session = sys ? take_session(obj) : NULL;
    if (session)
        sys->stream = open_stream(access, session, source);
    free(source);
    if (session && !sys->stream)
        give_session_back();
    if (!session || !sys->stream)
        return VLC_EGENERIC;
    sys->is_live = playswarm_stream_size(sys->stream, &sys->size) == PLAYSWARM_NO_SIZE;
    access->p_sys = sys;
    access->pf_read = Read;
    access->pf_seek = Seek;
    access->pf_control = Control;
    return VLC_SUCCESS;
}

static void Close(vlc_object_t *obj) {
    struct access_sys *sys = ((stream_t *)obj)->p_sys;
    playswarm_stream_unref(sys->stream);
    give_session_back();
}
