/* Writes the first frame after a seek in a film from a swarm as a PNG.
 *
 *     frame dir=/var/tmp/films film.torrent 1830.5 frame.png
 *
 * With file:PATH instead of a torrent the frame comes from that file. With a link to a live channel
 * it is the first one that arrives. */
#include "playswarm_avio.h"

#include <libavcodec/avcodec.h>
#include <libavformat/avformat.h>
#include <libswscale/swscale.h>

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static void fail(const char *what, const char *why) {
    fprintf(stderr, "frame: %s: %s\n", what, why);
    exit(1);
}

/* Ends the program if an FFmpeg call failed. */
static int must(int result, const char *what) {
    if (result < 0)
        fail(what, av_err2str(result));
    return result;
}

static playswarm_session *start(int settings, char **argv) {
    playswarm_config *config = NULL;
    playswarm_session *session = NULL;
    playswarm_error *error = NULL;
    playswarm_code code = playswarm_config_new(&config, &error);
    for (int i = 1; i <= settings && code == PLAYSWARM_OK; i++) {
        char *value = strchr(argv[i], '=');
        if (!value)
            fail(argv[i], "a setting is KEY=VALUE");
        *value++ = '\0';
        code = playswarm_config_set(config, argv[i], value, &error);
    }
    if (code == PLAYSWARM_OK)
        code = playswarm_session_new(PLAYSWARM_ABI_VERSION, config, &session, &error);
    if (code != PLAYSWARM_OK)
        fail("no session", playswarm_error_message(error));
    playswarm_config_unref(config);
    return session;
}

static playswarm_stream *open_stream(playswarm_session *session, const char *source) {
    playswarm_stream *stream = NULL;
    playswarm_error *error = NULL;
    if (playswarm_session_open_stream(session, source, NULL, 0, NULL, &stream, &error) != PLAYSWARM_OK)
        fail(source, playswarm_error_message(error));
    return stream;
}

/* Decodes from the keyframe before `target` (in the time base of the stream) and returns the first
 * frame at or after `target`. */
static AVFrame *first_frame(AVFormatContext *format, int index, int64_t target) {
    AVStream *video = format->streams[index];
    const AVCodec *codec = avcodec_find_decoder(video->codecpar->codec_id);
    AVCodecContext *decoder = codec ? avcodec_alloc_context3(codec) : NULL;
    AVPacket *packet = av_packet_alloc();
    AVFrame *frame = av_frame_alloc();
    if (!decoder || !packet || !frame)
        fail("no decoder", avcodec_get_name(video->codecpar->codec_id));
    must(avcodec_parameters_to_context(decoder, video->codecpar), "the codec's parameters");
    must(avcodec_open2(decoder, codec, NULL), "the decoder");
    if (!format->pb || format->pb->seekable)
        must(av_seek_frame(format, index, target, AVSEEK_FLAG_BACKWARD), "the seek");
    for (int ended = 0;;) {
        int got = avcodec_receive_frame(decoder, frame);
        if (got == 0 && frame->best_effort_timestamp >= target)
            break;
        if (got == 0 || (got == AVERROR(EAGAIN) && ended))
            continue;
        if (got != AVERROR(EAGAIN))
            must(got, "no frame there");
        got = av_read_frame(format, packet);
        ended = got == AVERROR_EOF;
        if (!ended)
            must(got, "reading");
        if (ended || packet->stream_index == index)
            must(avcodec_send_packet(decoder, ended ? NULL : packet), "decoding");
        av_packet_unref(packet);
    }
    av_packet_free(&packet);
    avcodec_free_context(&decoder);
    return frame;
}

static void write_png(const AVFrame *frame, const char *path) {
    const AVCodec *codec = avcodec_find_encoder(AV_CODEC_ID_PNG);
    AVCodecContext *encoder = codec ? avcodec_alloc_context3(codec) : NULL;
    AVFrame *rgb = av_frame_alloc();
    AVPacket *packet = av_packet_alloc();
    if (!encoder || !rgb || !packet)
        fail("PNG", "this FFmpeg has no encoder");
    encoder->width = rgb->width = frame->width;
    encoder->height = rgb->height = frame->height;
    encoder->pix_fmt = rgb->format = AV_PIX_FMT_RGB24;
    encoder->time_base = (AVRational){1, 1};
    must(avcodec_open2(encoder, codec, NULL), "the PNG encoder");
    must(av_frame_get_buffer(rgb, 0), "memory");
    struct SwsContext *sws = sws_getContext(frame->width, frame->height, frame->format, frame->width, frame->height,
                                            AV_PIX_FMT_RGB24, SWS_BILINEAR | SWS_BITEXACT, NULL, NULL, NULL);
    if (!sws)
        fail("PNG", "this kind of picture cannot be converted");
    sws_scale(sws, (const uint8_t *const *)frame->data, frame->linesize, 0, frame->height, rgb->data, rgb->linesize);
    must(avcodec_send_frame(encoder, rgb), "encoding");
    must(avcodec_receive_packet(encoder, packet), "encoding");
    FILE *out = fopen(path, "wb");
    if (!out || fwrite(packet->data, 1, (size_t)packet->size, out) != (size_t)packet->size || fclose(out) != 0)
        fail(path, "cannot be written");
    sws_freeContext(sws);
    av_packet_free(&packet);
    av_frame_free(&rgb);
    avcodec_free_context(&encoder);
}

int main(int argc, char **argv) {
    if (argc < 4) {
        fprintf(stderr, "usage: frame [KEY=VALUE]... SOURCE SECONDS FRAME.png\n");
        return 2;
    }
    const char *source = argv[argc - 3], *png = argv[argc - 1];
    double seconds = atof(argv[argc - 2]);
    int local = strncmp(source, "file:", 5) == 0;
    playswarm_session *session = NULL;
    playswarm_stream *stream = NULL;
    AVFormatContext *format = avformat_alloc_context();
    AVIOContext *avio = NULL;
    if (!format)
        fail("memory", "there is none");
    if (!local) {
        session = start(argc - 4, argv);
        stream = open_stream(session, source);
        format->pb = avio = playswarm_avio_new(stream);
        if (!avio)
            fail("memory", "there is none");
    }
    /* Without a name, FFmpeg detects the format from the content. */
    must(avformat_open_input(&format, local ? source + 5 : NULL, NULL, NULL), "this is no film");
    must(avformat_find_stream_info(format, NULL), "its tracks");
    int index = must(av_find_best_stream(format, AVMEDIA_TYPE_VIDEO, -1, -1, NULL, 0), "no picture in it");
    AVStream *video = format->streams[index];
    int64_t target = (int64_t)(seconds / av_q2d(video->time_base));
    if (video->start_time != AV_NOPTS_VALUE)
        target += video->start_time;
    if (avio && !avio->seekable)
        target = INT64_MIN;
    AVFrame *frame = first_frame(format, index, target);
    write_png(frame, png);
    printf("%s: %s %dx%d at %.3f s\n", png, format->iformat->name, frame->width, frame->height,
           (double)frame->best_effort_timestamp * av_q2d(video->time_base));
    av_frame_free(&frame);
    avformat_close_input(&format);
    playswarm_avio_free(&avio);
    playswarm_stream_unref(stream);
    playswarm_session_unref(session);
    return 0;
}
