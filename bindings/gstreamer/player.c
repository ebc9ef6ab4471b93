/* A player: playbin, which plays playswarm:// and magnet: URIs once the plug-in is installed.
 *
 *     player [--headless] [SETTINGS] URI [SECONDS]...
 *
 * SETTINGS are playswarm settings: KEY=VALUE, separated by semicolons. With SECONDS it seeks to
 * each of them in turn, two seconds after the previous one, prints the position, and ends. */
#include <gst/gst.h>

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static const char *settings;

/* Configures the element that playbin created for the URI. */
static void on_source(GstElement *playbin, GstElement *source, gpointer data) {
    (void)playbin, (void)data;
    if (settings && g_object_class_find_property(G_OBJECT_GET_CLASS(source), "settings"))
        g_object_set(source, "settings", settings, NULL);
}

static double position(GstElement *playbin) {
    gint64 at = -1;
    gst_element_query_position(playbin, GST_FORMAT_TIME, &at);
    return (double)at / GST_SECOND;
}

/* Waits for `wait`, or for a message of the type `until` after the start or a seek. Returns 0 at
 * the end of the film or on an error. */
static int go_on(GstElement *playbin, GstClockTime wait, GstMessageType until) {
    GstBus *bus = gst_element_get_bus(playbin);
    GstMessage *message = gst_bus_timed_pop_filtered(bus, wait, GST_MESSAGE_ERROR | GST_MESSAGE_EOS | until);
    int goes_on = message == NULL || (GST_MESSAGE_TYPE(message) & until);
    if (message && GST_MESSAGE_TYPE(message) == GST_MESSAGE_ERROR) {
        GError *error = NULL;
        gst_message_parse_error(message, &error, NULL);
        fprintf(stderr, "player: %s\n", error->message);
        g_error_free(error);
    }
    if (message)
        gst_message_unref(message);
    gst_object_unref(bus);
    return goes_on;
}

int main(int argc, char **argv) {
    int i = 1, headless = argc > 1 && strcmp(argv[1], "--headless") == 0;
    gst_init(NULL, NULL);
    setvbuf(stdout, NULL, _IOLBF, 0);
    i += headless;
    if (i < argc && !gst_uri_is_valid(argv[i]))
        settings = argv[i++];
    if (i >= argc) {
        fprintf(stderr, "usage: player [--headless] [SETTINGS] URI [SECONDS]...\n");
        return 2;
    }
    GstElement *playbin = gst_element_factory_make("playbin", NULL);
    if (!playbin) {
        fprintf(stderr, "player: GStreamer has no playbin here; install its base plug-ins\n");
        return 1;
    }
    g_object_set(playbin, "uri", argv[i++], NULL);
    g_signal_connect(playbin, "source-setup", G_CALLBACK(on_source), NULL);
    for (int n = 0; headless && n < 2; n++) {
        GstElement *sink = gst_element_factory_make("fakesink", NULL);
        g_object_set(sink, "sync", TRUE, NULL);
        g_object_set(playbin, n ? "audio-sink" : "video-sink", sink, NULL);
    }
    int status = 1;
    gst_element_set_state(playbin, GST_STATE_PLAYING);
    if (i == argc) {
        status = go_on(playbin, GST_CLOCK_TIME_NONE, 0);
    } else if (go_on(playbin, 60 * GST_SECOND, GST_MESSAGE_ASYNC_DONE)) {
        status = 0;
        for (; status == 0; i++) {
            go_on(playbin, 2 * GST_SECOND, 0);
            printf("played to %.2f s\n", position(playbin));
            if (i == argc)
                break;
            GstClockTime to = (GstClockTime)(atof(argv[i]) * GST_SECOND);
            if (!gst_element_seek_simple(playbin, GST_FORMAT_TIME, GST_SEEK_FLAG_FLUSH | GST_SEEK_FLAG_ACCURATE,
                                         (gint64)to) ||
                !go_on(playbin, 60 * GST_SECOND, GST_MESSAGE_ASYNC_DONE))
                status = 1;
        }
    }
    gst_element_set_state(playbin, GST_STATE_NULL);
    gst_object_unref(playbin);
    return status;
}
