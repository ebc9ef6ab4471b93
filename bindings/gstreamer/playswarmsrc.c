/* playswarmsrc: a GStreamer source that provides a file of a torrent while it downloads (seekable,
 * push or pull), or a live channel.
 *
 *     gst-launch-1.0 playswarmsrc uri=playswarm:///home/me/film.torrent ! decodebin ! autovideosink
 *
 * It handles playswarm://SOURCE, playswarm:KEY?at=… and magnet: URIs, so playbin and uridecodebin play them too. */
#include <gst/base/gstbasesrc.h>
#include <gst/gst.h>

#include <playswarm.h>

#include <string.h>

GST_DEBUG_CATEGORY_STATIC(playswarmsrc_debug);
#define GST_CAT_DEFAULT playswarmsrc_debug

/* Bytes per read, as in FFmpeg and other programs. */
enum { BLOCK_BYTES = 64 << 10 };

#define TYPE_PLAYSWARM_SRC (playswarm_src_get_type())
G_DECLARE_FINAL_TYPE(PlayswarmSrc, playswarm_src, PLAYSWARM, SRC, GstBaseSrc)

struct _PlayswarmSrc {
    GstBaseSrc parent;
    /* Properties, protected by the object's lock. */
    gchar *uri, *settings, *file;
    /* Ends waiting calls; protected by the object's lock. The stream exists from start to stop. */
    playswarm_canceller *canceller;
    playswarm_stream *stream;
    gboolean has_session;
    /* Whether the stream is a live channel, without a size and not seekable. */
    gboolean is_channel;
};

static void uri_handler_init(gpointer iface, gpointer data);

G_DEFINE_TYPE_WITH_CODE(PlayswarmSrc, playswarm_src, GST_TYPE_BASE_SRC,
                        G_IMPLEMENT_INTERFACE(GST_TYPE_URI_HANDLER, uri_handler_init))

enum { PROP_URI = 1, PROP_SETTINGS, PROP_FILE };

static GstStaticPadTemplate source_pad =
    GST_STATIC_PAD_TEMPLATE("src", GST_PAD_SRC, GST_PAD_ALWAYS, GST_STATIC_CAPS_ANY);

/* ---- one session for all elements, because two sessions cannot share a folder ---- */

static GMutex session_lock;
static playswarm_session *session;
static guint session_users;

static playswarm_code start_session(const gchar *settings, playswarm_error **error) {
    playswarm_config *config = NULL;
    playswarm_code code = playswarm_config_new(&config, error);
    gchar **pairs = g_strsplit(settings ? settings : "", ";", -1);
    for (gchar **pair = pairs; *pair && code == PLAYSWARM_OK; pair++) {
        gchar *value = strchr(*pair, '=');
        if (value)
            *value++ = '\0';
        if (**pair)
            code = playswarm_config_set(config, *pair, value ? value : "", error);
    }
    g_strfreev(pairs);
    if (code == PLAYSWARM_OK)
        code = playswarm_session_new(PLAYSWARM_ABI_VERSION, config, &session, error);
    playswarm_config_unref(config);
    return code;
}

static playswarm_code take_session(const gchar *settings, playswarm_error **error) {
    playswarm_code code = PLAYSWARM_OK;
    g_mutex_lock(&session_lock);
    if (!session)
        code = start_session(settings, error);
    if (code == PLAYSWARM_OK)
        session_users++;
    g_mutex_unlock(&session_lock);
    return code;
}

static void give_session_back(void) {
    g_mutex_lock(&session_lock);
    if (--session_users == 0) {
        playswarm_session_unref(session);
        session = NULL;
    }
    g_mutex_unlock(&session_lock);
}

/* ---- the source ---- */

/* Returns the source for playswarm: a link, or the part of the URI after playswarm://. */
static gchar *source_of(const gchar *uri) {
    return g_ascii_strncasecmp(uri, "playswarm://", 12) == 0 ? g_uri_unescape_string(uri + 12, NULL) : g_strdup(uri);
}

static gboolean start(GstBaseSrc *base) {
    PlayswarmSrc *self = PLAYSWARM_SRC(base);
    playswarm_stream *stream = NULL;
    playswarm_error *error = NULL;
    uint64_t size = 0;
    GST_OBJECT_LOCK(self);
    gchar *source = self->uri ? source_of(self->uri) : NULL, *settings = g_strdup(self->settings),
          *file = g_strdup(self->file);
    GST_OBJECT_UNLOCK(self);
    if (!source) {
        GST_ELEMENT_ERROR(self, RESOURCE, NOT_FOUND, ("There is nothing to play: set uri."), (NULL));
        g_free(settings);
        g_free(file);
        return FALSE;
    }
    playswarm_code code = take_session(settings, &error);
    self->has_session = code == PLAYSWARM_OK;
    if (code == PLAYSWARM_OK)
        code = playswarm_session_open_stream(session, source, file, 0, self->canceller, &stream, &error);
    if (code != PLAYSWARM_OK) {
        GST_ELEMENT_ERROR(self, RESOURCE, OPEN_READ, ("%s", playswarm_error_message(error)), ("%s", source));
        playswarm_error_unref(error);
        if (self->has_session)
            give_session_back();
        self->has_session = FALSE;
    } else {
        GST_INFO_OBJECT(self, "plays %s", source);
    }
    GST_OBJECT_LOCK(self);
    self->stream = stream;
    self->is_channel = code == PLAYSWARM_OK && playswarm_stream_size(stream, &size) == PLAYSWARM_NO_SIZE;
    GST_OBJECT_UNLOCK(self);
    g_free(source);
    g_free(settings);
    g_free(file);
    return code == PLAYSWARM_OK;
}

static gboolean stop(GstBaseSrc *base) {
    PlayswarmSrc *self = PLAYSWARM_SRC(base);
    GST_OBJECT_LOCK(self);
    playswarm_stream *stream = self->stream;
    self->stream = NULL;
    GST_OBJECT_UNLOCK(self);
    playswarm_stream_unref(stream);
    if (self->has_session)
        give_session_back();
    self->has_session = FALSE;
    return TRUE;
}

/* Called from another thread when the pipeline stops or seeks. Ends waiting calls until
 * unlock_stop. */
static gboolean unlock(GstBaseSrc *base) {
    PlayswarmSrc *self = PLAYSWARM_SRC(base);
    playswarm_canceller_cancel(self->canceller);
    GST_OBJECT_LOCK(self);
    if (self->stream)
        playswarm_stream_cancel(self->stream);
    GST_OBJECT_UNLOCK(self);
    return TRUE;
}

static gboolean unlock_stop(GstBaseSrc *base) {
    PlayswarmSrc *self = PLAYSWARM_SRC(base);
    playswarm_canceller_reset(self->canceller);
    GST_OBJECT_LOCK(self);
    if (self->stream)
        playswarm_stream_reset(self->stream);
    GST_OBJECT_UNLOCK(self);
    return TRUE;
}

static gboolean is_seekable(GstBaseSrc *base) {
    PlayswarmSrc *self = PLAYSWARM_SRC(base);
    GST_OBJECT_LOCK(self);
    gboolean is_seekable = !self->is_channel;
    GST_OBJECT_UNLOCK(self);
    return is_seekable;
}

static gboolean get_size(GstBaseSrc *base, guint64 *size) {
    PlayswarmSrc *self = PLAYSWARM_SRC(base);
    uint64_t bytes = 0;
    GST_OBJECT_LOCK(self);
    gboolean known = self->stream && playswarm_stream_size(self->stream, &bytes) == PLAYSWARM_OK;
    GST_OBJECT_UNLOCK(self);
    *size = bytes;
    return known;
}

/* Reads `length` bytes from `offset`, fewer only at the end: pull mode treats a short read as the
 * end. A channel has no pull mode, and what is there is passed on at once. */
static GstFlowReturn fill(GstBaseSrc *base, guint64 offset, guint length, GstBuffer *buffer) {
    PlayswarmSrc *self = PLAYSWARM_SRC(base);
    playswarm_error *error = NULL;
    GstMapInfo map;
    gsize done = 0;
    uint64_t position = 0;
    playswarm_code code = playswarm_stream_position(self->stream, &position);
    if (code == PLAYSWARM_OK && position != offset) {
        GST_DEBUG_OBJECT(self, "seek to byte %" G_GUINT64_FORMAT, offset);
        code = playswarm_stream_seek(self->stream, (gint64)offset, PLAYSWARM_SEEK_SET, NULL, &error);
    }
    if (!gst_buffer_map(buffer, &map, GST_MAP_WRITE))
        return GST_FLOW_ERROR;
    for (size_t n = 1; code == PLAYSWARM_OK && n > 0 && done < length; done += n) {
        n = 0;
        code = playswarm_stream_read(self->stream, map.data + done, length - done, &n, &error);
        if (self->is_channel)
            length = (guint)(done + n);
    }
    gst_buffer_unmap(buffer, &map);
    if (code == PLAYSWARM_CANCELLED) {
        playswarm_error_unref(error);
        return GST_FLOW_FLUSHING;
    }
    if (code != PLAYSWARM_OK) {
        GST_ELEMENT_ERROR(self, RESOURCE, READ, ("%s", playswarm_error_message(error)), (NULL));
        playswarm_error_unref(error);
        return GST_FLOW_ERROR;
    }
    if (done == 0)
        return GST_FLOW_EOS;
    gst_buffer_set_size(buffer, (gssize)done);
    GST_BUFFER_OFFSET(buffer) = offset;
    GST_BUFFER_OFFSET_END(buffer) = offset + done;
    return GST_FLOW_OK;
}

/* ---- properties and URIs ---- */

static void set_text(PlayswarmSrc *self, gchar **place, const gchar *text) {
    GST_OBJECT_LOCK(self);
    g_free(*place);
    *place = g_strdup(text);
    GST_OBJECT_UNLOCK(self);
}

static gchar **place_of(PlayswarmSrc *self, guint id) {
    return id == PROP_URI ? &self->uri : id == PROP_SETTINGS ? &self->settings : &self->file;
}

static void set_property(GObject *object, guint id, const GValue *value, GParamSpec *spec) {
    PlayswarmSrc *self = PLAYSWARM_SRC(object);
    (void)spec;
    set_text(self, place_of(self, id), g_value_get_string(value));
}

static void get_property(GObject *object, guint id, GValue *value, GParamSpec *spec) {
    PlayswarmSrc *self = PLAYSWARM_SRC(object);
    (void)spec;
    GST_OBJECT_LOCK(self);
    g_value_set_string(value, *place_of(self, id));
    GST_OBJECT_UNLOCK(self);
}

static void finalize(GObject *object) {
    PlayswarmSrc *self = PLAYSWARM_SRC(object);
    playswarm_canceller_unref(self->canceller);
    g_free(self->uri);
    g_free(self->settings);
    g_free(self->file);
    G_OBJECT_CLASS(playswarm_src_parent_class)->finalize(object);
}

static GstURIType uri_type(GType type) {
    (void)type;
    return GST_URI_SRC;
}

static const gchar *const *uri_protocols(GType type) {
    static const gchar *const protocols[] = {"playswarm", "magnet", NULL};
    (void)type;
    return protocols;
}

static gchar *uri_get(GstURIHandler *handler) {
    gchar *uri = NULL;
    g_object_get(handler, "uri", &uri, NULL);
    return uri;
}

static gboolean uri_set(GstURIHandler *handler, const gchar *uri, GError **error) {
    (void)error;
    g_object_set(handler, "uri", uri, NULL);
    return TRUE;
}

static void uri_handler_init(gpointer iface, gpointer data) {
    GstURIHandlerInterface *handler = iface;
    (void)data;
    handler->get_type = uri_type;
    handler->get_protocols = uri_protocols;
    handler->get_uri = uri_get;
    handler->set_uri = uri_set;
}

static void playswarm_src_init(PlayswarmSrc *self) {
    gst_base_src_set_blocksize(GST_BASE_SRC(self), BLOCK_BYTES);
    gst_base_src_set_format(GST_BASE_SRC(self), GST_FORMAT_BYTES);
    playswarm_canceller_new(&self->canceller, NULL);
}

static void playswarm_src_class_init(PlayswarmSrcClass *class) {
    GObjectClass *object = G_OBJECT_CLASS(class);
    GstElementClass *element = GST_ELEMENT_CLASS(class);
    GstBaseSrcClass *base = GST_BASE_SRC_CLASS(class);
    const GParamFlags flags = G_PARAM_READWRITE | G_PARAM_STATIC_STRINGS | GST_PARAM_MUTABLE_READY;

    object->set_property = set_property;
    object->get_property = get_property;
    object->finalize = finalize;
    g_object_class_install_property(
        object, PROP_URI, g_param_spec_string("uri", "URI", "playswarm://SOURCE, playswarm:KEY?at=… or magnet:?…", NULL, flags));
    g_object_class_install_property(
        object, PROP_SETTINGS,
        g_param_spec_string("settings", "Settings",
                            "KEY=VALUE, separated by semicolons, such as dir=/var/tmp/films; those of the first element hold",
                            NULL, flags));
    g_object_class_install_property(
        object, PROP_FILE,
        g_param_spec_string("file", "File", "Its number or (a part of) its name; without, the largest", NULL, flags));
    gst_element_class_set_static_metadata(element, "playswarm source", "Source/Network",
                                          "A file of a BitTorrent swarm, while it downloads, or a live channel", "playswarm");
    gst_element_class_add_static_pad_template(element, &source_pad);
    base->start = start;
    base->stop = stop;
    base->unlock = unlock;
    base->unlock_stop = unlock_stop;
    base->is_seekable = is_seekable;
    base->get_size = get_size;
    base->fill = fill;
}

static gboolean plugin_init(GstPlugin *plugin) {
    GST_DEBUG_CATEGORY_INIT(playswarmsrc_debug, "playswarmsrc", 0, "playswarm source");
    return gst_element_register(plugin, "playswarmsrc", GST_RANK_PRIMARY, TYPE_PLAYSWARM_SRC);
}

#define PACKAGE "playswarm"
GST_PLUGIN_DEFINE(GST_VERSION_MAJOR, GST_VERSION_MINOR, playswarm, "BitTorrent swarms, while they download", plugin_init,
                  "0.1.0", GST_LICENSE_UNKNOWN, "playswarm", "https://crates.io/crates/playswarm")
