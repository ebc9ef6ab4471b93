/* playswarm.h: plays videos from BitTorrent swarms while they download, with instant seek.
 *
 * Generated from ffi-c/src: make changes there. docs/C.md in the source is the guide. examples/c
 * contains whole programs.
 *
 * Rules for all functions:
 *
 * - Handles (playswarm_session *, playswarm_torrent *, …) are opaque and reference-counted. A
 *   function that creates a handle returns one reference. ..._ref adds a reference and ..._unref
 *   releases one. Passing NULL, a released handle or a handle of another type returns
 *   PLAYSWARM_BAD_ARGUMENT and does nothing. NULL may be released.
 * - Any function may be called from any thread at any time, including from callbacks. No function
 *   uses thread-local state. If a function waits, its comment says so and names what ends the wait.
 * - const means that the object behind the handle does not change. Input parameters precede output
 *   parameters.
 * - Functions that can fail return a playswarm_code; 0 means success. If `error` is not NULL,
 *   *error becomes NULL on success and an error object on failure, with a message for users. The
 *   caller releases it with playswarm_error_unref. A failed call has no effect and returns no
 *   results; its output handle is NULL.
 * - Strings are UTF-8 and end with a zero byte. The queried object owns a `const char *`. The
 *   caller owns a `char *` and frees it with playswarm_string_free.
 * - No panic and no exception leaves the library. An internal error returns PLAYSWARM_INTERNAL and
 *   is logged.
 */

#ifndef PLAYSWARM_H
#define PLAYSWARM_H

#include <stddef.h>
#include <stdint.h>

/*
 Version of this header, for playswarm_session_new. The upper 16 bits are the ABI number, which
 the library's file name also carries (libplayswarm.so.0). The lower 16 bits count additions.
 */
#define PLAYSWARM_ABI_VERSION 6

/*
 Bytes of the seed of a channel's secret key.
 */
#define PLAYSWARM_SEED_BYTES 32

/*
 Origin for playswarm_stream_seek: the start of the file. The values equal those of <stdio.h>.
 */
#define PLAYSWARM_SEEK_SET 0

/*
 Origin for playswarm_stream_seek: the current position.
 */
#define PLAYSWARM_SEEK_CUR 1

/*
 Origin for playswarm_stream_seek: the end of the file.
 */
#define PLAYSWARM_SEEK_END 2

/*
 Result of a call. 0 is success; the others are kinds of errors. Their numbers never change.
 */
enum playswarm_code
#if defined(__cplusplus) || __STDC_VERSION__ >= 202311L
  : int32_t
#endif // defined(__cplusplus) || __STDC_VERSION__ >= 202311L
 {
    /*
     Success.
     */
    PLAYSWARM_OK = 0,
    /*
     The source is not a torrent.
     */
    PLAYSWARM_BAD_SOURCE = 1,
    /*
     The torrent is damaged, hostile or beyond a limit.
     */
    PLAYSWARM_BAD_TORRENT = 2,
    /*
     The torrent file could not be downloaded from its URL.
     */
    PLAYSWARM_FETCH = 3,
    /*
     No peer sent the metadata of a magnet link.
     */
    PLAYSWARM_NO_METADATA = 4,
    /*
     The file does not exist, or the torrent has no playable file.
     */
    PLAYSWARM_NO_SUCH_FILE = 5,
    /*
     A file or folder cannot be used.
     */
    PLAYSWARM_STORAGE = 6,
    /*
     The disk is full.
     */
    PLAYSWARM_DISK_FULL = 7,
    /*
     The session cannot listen on an address.
     */
    PLAYSWARM_LISTEN = 8,
    /*
     A setting is invalid.
     */
    PLAYSWARM_BAD_CONFIG = 9,
    /*
     The caller cancelled the call.
     */
    PLAYSWARM_CANCELLED = 10,
    /*
     The session or torrent is closed.
     */
    PLAYSWARM_CLOSED = 11,
    /*
     The time limit of the call expired.
     */
    PLAYSWARM_TIMED_OUT = 12,
    /*
     Any other input or output error.
     */
    PLAYSWARM_IO = 13,
    /*
     A call had an invalid argument: NULL, a handle that is not alive, or an impossible size or
     position. Nothing was done.
     */
    PLAYSWARM_BAD_ARGUMENT = 14,
    /*
     An internal error of playswarm.
     */
    PLAYSWARM_INTERNAL = 15,
    /*
     A live channel has no size, and only the present position.
     */
    PLAYSWARM_NO_SIZE = 16,
};
#ifndef __cplusplus
#if __STDC_VERSION__ >= 202311L
typedef enum playswarm_code playswarm_code;
#else
typedef int32_t playswarm_code;
#endif // __STDC_VERSION__ >= 202311L
#endif // __cplusplus

/*
 Kind of an event. Later versions add kinds: programs ignore those that they do not know.
 */
enum playswarm_event_kind
#if defined(__cplusplus) || __STDC_VERSION__ >= 202311L
  : int32_t
#endif // defined(__cplusplus) || __STDC_VERSION__ >= 202311L
 {
    /*
     The requested status interval has elapsed: `status`.
     */
    PLAYSWARM_EVENT_STATUS = 1,
    /*
     A peer connected: `peer`.
     */
    PLAYSWARM_EVENT_PEER_CONNECTED = 2,
    /*
     A peer disconnected: `peer`, `message`.
     */
    PLAYSWARM_EVENT_PEER_DISCONNECTED = 3,
    /*
     A peer was banned: `peer`, `message`.
     */
    PLAYSWARM_EVENT_PEER_BANNED = 4,
    /*
     A piece was received and verified: `number`.
     */
    PLAYSWARM_EVENT_PIECE_VERIFIED = 5,
    /*
     A piece failed its hash and is requested again: `number`.
     */
    PLAYSWARM_EVENT_PIECE_FAILED = 6,
    /*
     A piece is no longer available locally: `number`.
     */
    PLAYSWARM_EVENT_PIECE_LOST = 7,
    /*
     Nothing can be downloaded at present: `message`.
     */
    PLAYSWARM_EVENT_TROUBLE = 8,
    /*
     The download can continue.
     */
    PLAYSWARM_EVENT_TROUBLE_OVER = 9,
    /*
     Every piece is verified and available.
     */
    PLAYSWARM_EVENT_COMPLETED = 10,
    /*
     The callback was too slow and events were dropped: `number` of them.
     */
    PLAYSWARM_EVENT_MISSED = 11,
    /*
     The torrent was closed. This is the last event.
     */
    PLAYSWARM_EVENT_CLOSED = 12,
    /*
     A notice for the user about the torrent's files, for example that a name is taken:
     `message`.
     */
    PLAYSWARM_EVENT_NOTICE = 13,
};
#ifndef __cplusplus
#if __STDC_VERSION__ >= 202311L
typedef enum playswarm_event_kind playswarm_event_kind;
#else
typedef int32_t playswarm_event_kind;
#endif // __STDC_VERSION__ >= 202311L
#endif // __cplusplus

/*
 Severity of a log line.
 */
enum playswarm_log_level
#if defined(__cplusplus) || __STDC_VERSION__ >= 202311L
  : int32_t
#endif // defined(__cplusplus) || __STDC_VERSION__ >= 202311L
 {
    /*
     An unexpected failure.
     */
    PLAYSWARM_LOG_ERROR = 1,
    /*
     A condition that may interest the user.
     */
    PLAYSWARM_LOG_WARN = 2,
    /*
     The main steps, in few lines.
     */
    PLAYSWARM_LOG_INFO = 3,
    /*
     Details for diagnosis, including addresses of peers.
     */
    PLAYSWARM_LOG_DEBUG = 4,
    /*
     Every decision.
     */
    PLAYSWARM_LOG_TRACE = 5,
};
#ifndef __cplusplus
#if __STDC_VERSION__ >= 202311L
typedef enum playswarm_log_level playswarm_log_level;
#else
typedef int32_t playswarm_log_level;
#endif // __STDC_VERSION__ >= 202311L
#endif // __cplusplus

/*
 A means to end a waiting call (opening a torrent, checking files) from another thread.
 */
typedef struct playswarm_canceller playswarm_canceller;

/*
 The source of a live channel. Viewers pass its stream on to each other. The channel is off the
 air after its last release.
 */
typedef struct playswarm_cast playswarm_cast;

/*
 A live channel that is watched or passed on. A session has one node in a channel, which all its
 handles and streams share. The node leaves with the last of them.
 */
typedef struct playswarm_channel playswarm_channel;

/*
 Settings of a session. docs/CLI.md and Rust's `Config` list the keys. A session copies them when
 it is created.
 */
typedef struct playswarm_config playswarm_config;

/*
 The reason why a call failed: its code and a sentence for users. The caller that requested it
 owns it.
 */
typedef struct playswarm_error playswarm_error;

/*
 A running RTSP server of one torrent. It keeps the torrent open. It ends with its last reference.
 */
typedef struct playswarm_rtsp_server playswarm_rtsp_server;

/*
 A search of the Gnutella network. It ends with its last reference.
 */
typedef struct playswarm_search playswarm_search;

/*
 The root object: one listener, one DHT node, any number of torrents, and their threads.
 */
typedef struct playswarm_session playswarm_session;

/*
 A reader of one file, or of a live channel. Any thread may use it. With several concurrent
 readers, each byte goes to exactly one of them.
 */
typedef struct playswarm_stream playswarm_stream;

/*
 An open torrent. It stays open until its last reference and all its streams are released.
 */
typedef struct playswarm_torrent playswarm_torrent;

/*
 A node's place in a live channel.
 */
typedef struct playswarm_channel_status {
    /*
     Set to sizeof(playswarm_channel_status) before the call; see playswarm_torrent_status.
     */
    size_t struct_size;
    /*
     Time from the arrival of the newest bytes at the source until they were here, in milliseconds
     by the clocks of both machines; negative while unknown.
     */
    int64_t delay_ms;
    /*
     Further viewers that the whole channel can feed, as far as the neighbours know; negative while
     unknown.
     */
    int64_t free_places;
    /*
     Number of packets that were verified and new.
     */
    uint64_t packets;
    /*
     Number of packets that did not verify. Their senders are banned.
     */
    uint64_t refused;
    /*
     Number of groups that were restored from parity.
     */
    uint64_t restored;
    /*
     Number of groups that were lost for good.
     */
    uint64_t lost;
    /*
     Number of gaps in the stream: each is one or more lost groups.
     */
    uint64_t gaps;
    /*
     1 if the description of the stream is known, otherwise 0.
     */
    uint32_t has_head;
    /*
     1 if the stream has ended, otherwise 0.
     */
    uint32_t is_ended;
    /*
     Number of stripes of the channel; 0 before its head is known.
     */
    uint32_t stripes;
    /*
     Number of stripes for which this node has a parent.
     */
    uint32_t fed;
    /*
     Number of nodes from the source to this one, over the longest path.
     */
    uint32_t depth;
    /*
     Number of nodes that feed this one.
     */
    uint32_t parents;
    /*
     Number of nodes that are fed with a stripe here, counted for each stripe.
     */
    uint32_t children;
    /*
     Number of open connections.
     */
    uint32_t connections;
    /*
     Number of open streams of this session.
     */
    uint32_t readers;
    /*
     Always 0.
     */
    uint32_t reserved;
    /*
     Number of minutes of the archive that the source has announced, at most 120.
     */
    uint32_t minutes;
    /*
     Number of minutes that are complete in this node's archive; negative if it keeps none.
     */
    int32_t archived;
    /*
     Time from the joining of the channel until the first verified packet was here, in
     milliseconds; negative while there is none.
     */
    int64_t first_packet_ms;
    /*
     Time until this node asks for a place again, in seconds, if the channel is full: all nodes that
     were asked answered that their places are taken. Negative if it is not.
     */
    int32_t full_for_s;
    /*
     1 if other nodes can dial this one, 0 if they cannot; negative while nothing has shown it.
     */
    int32_t reachable;
    /*
     Title of what is playing, in UTF-8. Empty if the source tells none.
     */
    char title[256];
} playswarm_channel_status;

/*
 The description of a channel's stream, which its source signed.
 */
typedef struct playswarm_channel_head {
    /*
     Set to sizeof(playswarm_channel_head) before the call; see playswarm_torrent_status.
     */
    size_t struct_size;
    /*
     Rate of the stream in bytes per second, about.
     */
    uint32_t bytes_per_s;
    /*
     Always 0.
     */
    uint32_t reserved;
    /*
     Name of the channel for people, in UTF-8. May be empty.
     */
    char name[256];
    /*
     Media type of the stream, such as "video/mp2t". May be empty.
     */
    char content_type[256];
} playswarm_channel_head;

/*
 Status of a torrent.

 Set `struct_size` to sizeof(playswarm_torrent_status) before the call. A program compiled with an
 older header receives the fields that it knows. A program compiled with a newer header finds in
 `struct_size` the number of bytes that this library filled. Memory beyond `struct_size` is not
 touched.
 */
typedef struct playswarm_torrent_status {
    /*
     Size of this struct in bytes; see above.
     */
    size_t struct_size;
    /*
     Total size of all files in bytes.
     */
    uint64_t total_bytes;
    /*
     Size of the verified pieces that are available locally, in bytes.
     */
    uint64_t verified_bytes;
    /*
     Contiguous verified bytes ahead of the reader with the smallest read-ahead; 0 without
     readers.
     */
    uint64_t ahead_bytes;
    /*
     The same read-ahead in seconds of media; negative while the data rate is unknown.
     */
    double ahead_s;
    /*
     Payload download rate over the last seconds, in bytes per second.
     */
    double download_bytes_per_s;
    /*
     Payload upload rate over the last seconds, in bytes per second.
     */
    double upload_bytes_per_s;
    /*
     Payload received since the torrent was opened, in bytes.
     */
    uint64_t downloaded_bytes;
    /*
     Payload sent since the torrent was opened, in bytes.
     */
    uint64_t uploaded_bytes;
    /*
     Bytes of received blocks that another peer had already sent.
     */
    uint64_t waste_duplicate_bytes;
    /*
     Bytes of received blocks that were not requested.
     */
    uint64_t waste_unasked_bytes;
    /*
     Bytes of received pieces that failed their hash.
     */
    uint64_t waste_failed_bytes;
    /*
     Bytes of received blocks that were evicted to free memory.
     */
    uint64_t waste_forgotten_bytes;
    /*
     Bytes held in memory for this torrent.
     */
    uint64_t memory_bytes;
    /*
     Bytes of verified pieces on disk.
     */
    uint64_t disk_bytes;
    /*
     Useful payload received from parents, in bytes. Parents are viewers slightly ahead, found
     through the slot index. 0 where the slot index is not used.
     */
    uint64_t parent_bytes;
    /*
     Piece size in bytes.
     */
    uint32_t piece_bytes;
    /*
     Number of pieces.
     */
    uint32_t pieces;
    /*
     Number of connected peers.
     */
    uint32_t peers;
    /*
     Number of connected peers with a reserved place as parents.
     */
    uint32_t parents;
    /*
     Number of known peers that are not connected.
     */
    uint32_t known_peers;
    /*
     Number of banned peers.
     */
    uint32_t banned_peers;
    /*
     Number of open streams that were read.
     */
    uint32_t readers;
    /*
     Number of these readers that wait for data now.
     */
    uint32_t waiting_readers;
    /*
     1 if nothing can be downloaded at present (playswarm_torrent_trouble gives the reason),
     otherwise 0.
     */
    uint32_t is_in_trouble;
    /*
     Number of trackers whose last announce failed or was refused. While no peer is connected,
     playswarm_torrent_trouble includes the message of one of them.
     */
    uint32_t failed_trackers;
    /*
     Number of web seeds and mirrors.
     */
    uint32_t sources;
    /*
     Number of web seeds and mirrors that are connected.
     */
    uint32_t serving_sources;
    /*
     Next byte of its file that the reader with the smallest read-ahead reads; 0 without readers.
     */
    uint64_t position;
    /*
     End of the bytes of its file that are fetched for this reader; 0 without readers.
     */
    uint64_t window_until;
    /*
     Seconds by which a player must wait before it plays the file from the beginning, so that it
     never stalls at the rate at which data arrives. Negative until that rate and the timing of the
     file are known.
     */
    double initial_buffering_s;
} playswarm_torrent_status;

/*
 An event. It and the memory it points to are valid until the callback returns.
 */
typedef struct playswarm_event {
    /*
     Number of bytes of this struct that the library has filled. Fields beyond it are absent.
     */
    size_t struct_size;
    /*
     Kind of the event.
     */
    playswarm_event_kind kind;
    /*
     The index of a piece or the number of dropped events; otherwise 0.
     */
    uint32_t number;
    /*
     The address of a peer, for example "192.0.2.7:6881"; otherwise NULL.
     */
    const char *peer;
    /*
     A short message for users; otherwise NULL.
     */
    const char *message;
    /*
     A status snapshot with PLAYSWARM_EVENT_STATUS; otherwise NULL.
     */
    const struct playswarm_torrent_status *status;
} playswarm_event;

/*
 Receives events on the session's callback thread, one at a time. It may call any function of
 this header, including one that ends this callback. It should return soon and must not throw.
 */
typedef void (*playswarm_event_callback)(void *user_data, const struct playswarm_event *event);

/*
 Frees the user data that was registered with a callback.
 */
typedef void (*playswarm_finalizer)(void *user_data);

/*
 Receives log lines on a separate thread, one at a time. `target` is the part of playswarm that
 wrote the line. `message` is the line in UTF-8, without a line end. Both are valid until the
 callback returns. It may call any function of this header and must not throw.
 */
typedef void (*playswarm_log_callback)(void *user_data,
                                       playswarm_log_level level,
                                       const char *target,
                                       const char *message);

/*
 Signals that the readable state of a stream changed. It runs on the session's callback thread,
 one call at a time. It may call any function of this header, should return soon and must not
 throw.
 */
typedef void (*playswarm_readable_callback)(void *user_data);

/*
 Timing information of a file.
 */
typedef struct playswarm_time_info {
    /*
     Set to sizeof(playswarm_time_info) before the call; see playswarm_torrent_status.
     */
    size_t struct_size;
    /*
     Duration in microseconds; 0 if unknown.
     */
    int64_t duration_us;
    /*
     Number of known keyframes, which are the seek targets.
     */
    size_t keyframes;
    /*
     Number of tracks (video, audio, subtitles).
     */
    uint32_t tracks;
    /*
     1 if the file has no usable index and all values are estimated from its size, otherwise 0.
     */
    uint32_t is_estimate;
} playswarm_time_info;

/*
 The position from which playback of a time begins.
 */
typedef struct playswarm_seek_point {
    /*
     Set to sizeof(playswarm_seek_point) before the call; see playswarm_torrent_status.
     */
    size_t struct_size;
    /*
     Time of the keyframe, in microseconds from the start of the film. It is at or before the
     requested time.
     */
    int64_t time_us;
    /*
     Position of the first byte to read.
     */
    uint64_t position;
    /*
     End of the data needed before playback starts: the position of the next keyframe.
     */
    uint64_t until;
    /*
     1 if the position is a linear estimate, otherwise 0.
     */
    uint32_t is_estimate;
    /*
     Always 0.
     */
    uint32_t reserved;
} playswarm_seek_point;

/*
 Properties of a file in a torrent.
 */
typedef struct playswarm_file_info {
    /*
     Set to sizeof(playswarm_file_info) before the call; see playswarm_torrent_status.
     */
    size_t struct_size;
    /*
     Length of the file in bytes.
     */
    uint64_t length;
    /*
     Name of the file in the torrent: its path with "/" as the separator, in UTF-8.
     */
    const char *name;
    /*
     Media type according to the name, for example "video/x-matroska".
     */
    const char *content_type;
    /*
     1 if the file is playable, otherwise 0.
     */
    uint32_t is_playable;
    /*
     1 if the file is padding, which users do not see, otherwise 0.
     */
    uint32_t is_padding;
} playswarm_file_info;

#ifdef __cplusplus
extern "C" {
#endif // __cplusplus

/*
 Returns the ABI version of this library: the PLAYSWARM_ABI_VERSION of the header it was built
 with.
 */
uint32_t playswarm_abi_version(void);

/*
 Returns the version of the library, for example "0.1.0". The string is static; do not free it.
 */
const char *playswarm_version(void);

/*
 Frees a string that a function of this header returned as `char *`. NULL is allowed.

 Returns PLAYSWARM_BAD_ARGUMENT if the pointer is not one of these strings or was freed before.
 Nothing happens in that case.
 */
playswarm_code playswarm_string_free(char *string);

/*
 Returns the number of handles and strings that were given to the caller and not released. At the
 end of a program without leaks it is 0.
 */
size_t playswarm_live_handles(void);

/*
 Creates a canceller with one reference. The caller releases it with playswarm_canceller_unref.
 Callable from any thread.

 # Safety
 `canceller` must be valid for writes. `error` must be NULL or valid for writes.
 */
playswarm_code playswarm_canceller_new(struct playswarm_canceller **canceller,
                                       struct playswarm_error **error);

/*
 Ends all calls that wait with this canceller, with PLAYSWARM_CANCELLED. Later calls with it fail
 at once. Callable from any thread.
 */
playswarm_code playswarm_canceller_cancel(struct playswarm_canceller *canceller);

/*
 Resets the canceller to its uncancelled state. Callable from any thread.
 */
playswarm_code playswarm_canceller_reset(struct playswarm_canceller *canceller);

/*
 Returns 1 while the canceller is cancelled, otherwise 0. Returns 0 for NULL and for handles that
 are not a live canceller. Callable from any thread.
 */
int32_t playswarm_canceller_is_cancelled(const struct playswarm_canceller *canceller);

/*
 Adds a reference. Callable from any thread.
 */
playswarm_code playswarm_canceller_ref(struct playswarm_canceller *canceller);

/*
 Releases a reference. Calls that wait with this canceller continue to wait. NULL is allowed.
 Callable from any thread.
 */
playswarm_code playswarm_canceller_unref(struct playswarm_canceller *canceller);

/*
 Draws the seed of a channel's secret key: PLAYSWARM_SEED_BYTES bytes. The same seed leads to the
 same channel. Its owner alone can cast to the channel. Callable from any thread.

 # Safety
 `seed` must point to PLAYSWARM_SEED_BYTES writable bytes. `error` must be NULL or valid for
 writes.
 */
playswarm_code playswarm_seed_new(uint8_t *seed, struct playswarm_error **error);

/*
 Begins to cast a live channel. The channel has no bytes until playswarm_cast_write. `seed` is that
 of the channel's secret key, from playswarm_seed_new; NULL makes a new channel. `name` is for
 people and may be NULL. `content_type` is the media type of the stream, such as "video/mp2t"; NULL
 detects it. `bytes_per_s` is the rate of the stream, about; 0 stands for 3 Mbit/s. It decides the
 number of stripes, and how many viewers each node can feed. The cast has one reference, which the
 caller releases with playswarm_cast_unref. Callable from any thread.

 Errors: PLAYSWARM_BAD_CONFIG for an unusable name or type, PLAYSWARM_BAD_ARGUMENT if the session
 has this channel open already, PLAYSWARM_CLOSED.

 # Safety
 `seed` must be NULL or point to PLAYSWARM_SEED_BYTES bytes. `name` and `content_type` must be NULL
 or end with a zero byte. `cast` must be valid for writes. `error` must be NULL or valid for
 writes.
 */
playswarm_code playswarm_session_cast(struct playswarm_session *session,
                                      const uint8_t *seed,
                                      const char *name,
                                      const char *content_type,
                                      uint32_t bytes_per_s,
                                      struct playswarm_cast **cast,
                                      struct playswarm_error **error);

/*
 Returns the link for viewers, with the addresses at which this machine can be reached as far as it
 knows them. Free it with playswarm_string_free. Callable from any thread.

 # Safety
 `link` must be valid for writes. `error` must be NULL or valid for writes.
 */
playswarm_code playswarm_cast_link(const struct playswarm_cast *cast,
                                   char **link,
                                   struct playswarm_error **error);

/*
 Sends bytes of the stream to the channel. They may end anywhere. It never waits: the caller gives
 the pace, which is that of the players. Callable from any thread.

 Errors: PLAYSWARM_BAD_CONFIG if viewers could not join the stream; the message says what to do
 instead.

 # Safety
 `data` must point to `length` bytes; it may be NULL if `length` is 0. `error` must be NULL or
 valid for writes.
 */
playswarm_code playswarm_cast_write(struct playswarm_cast *cast,
                                    const void *data,
                                    size_t length,
                                    struct playswarm_error **error);

/*
 Tells viewers the title of what is playing from now on, in UTF-8, such as "ARTIST - TITLE", of which
 255 bytes are sent. An empty one takes the title back. Callable from any thread.

 Errors: PLAYSWARM_BAD_ARGUMENT.

 # Safety
 `title` must end with a zero byte. `error` must be NULL or valid for writes.
 */
playswarm_code playswarm_cast_set_title(struct playswarm_cast *cast,
                                        const char *title,
                                        struct playswarm_error **error);

/*
 Begins to archive the cast, before its first bytes. The stream is written to the folder `dir` in
 files of at least `seconds` seconds (2 to 120; 0 means 60). Each is a torrent, which viewers seed.
 After the end there is also one torrent of all files; playswarm_cast_wait_archived waits for it.
 Callable from any thread.

 Errors: PLAYSWARM_BAD_CONFIG for `seconds` out of range, PLAYSWARM_BAD_ARGUMENT if the cast has an
 archive already, PLAYSWARM_CLOSED. A folder that cannot be written is no error: the stream goes on,
 and the status says why the archive is incomplete.

 # Safety
 `dir` must end with a zero byte. `error` must be NULL or valid for writes.
 */
playswarm_code playswarm_cast_archive(struct playswarm_cast *cast,
                                      const char *dir,
                                      uint32_t seconds,
                                      struct playswarm_error **error);

/*
 Waits until the archive of an ended cast is complete: its last file, and the torrent of all. The
 wait ends after `timeout_ms` milliseconds (0 means no timeout) or when `canceller`, which may be
 NULL, is cancelled. Without an archive, it does not wait. Callable from any thread.

 Errors: PLAYSWARM_TIMED_OUT, PLAYSWARM_CANCELLED.

 # Safety
 `error` must be NULL or valid for writes.
 */
playswarm_code playswarm_cast_wait_archived(const struct playswarm_cast *cast,
                                            uint64_t timeout_ms,
                                            const struct playswarm_canceller *canceller,
                                            struct playswarm_error **error);

/*
 Ends the stream. Viewers receive all written bytes before the end, if the cast is not released
 within a second. Callable from any thread.

 Errors: PLAYSWARM_BAD_CONFIG if viewers could not have joined the stream.

 # Safety
 `error` must be NULL or valid for writes.
 */
playswarm_code playswarm_cast_end(struct playswarm_cast *cast, struct playswarm_error **error);

/*
 Returns a snapshot of the source's place in its channel. Set `status->struct_size` before the
 call. Callable from any thread.

 Errors: PLAYSWARM_BAD_ARGUMENT if `struct_size` is smaller than in the first version of the
 struct.

 # Safety
 `status` must point to `status->struct_size` writable bytes. `error` must be NULL or valid for
 writes.
 */
playswarm_code playswarm_cast_get_status(const struct playswarm_cast *cast,
                                         struct playswarm_channel_status *status,
                                         struct playswarm_error **error);

/*
 Adds a reference. Callable from any thread.
 */
playswarm_code playswarm_cast_ref(struct playswarm_cast *cast);

/*
 Releases a reference. The last release takes the channel off the air at once. NULL is allowed.
 Callable from any thread.
 */
playswarm_code playswarm_cast_unref(struct playswarm_cast *cast);

/*
 Joins a live channel. `link` has the form `playswarm:KEY?at=HOST:PORT` or
 `magnet:?xt=urn:psl:KEY&x.pe=HOST:PORT`. Its nodes are dialled at once, and its stream can be
 opened at once: it waits for the first bytes. The node passes the stream on to others, within the
 setting "upload_bytes_per_s". A channel that is already open is shared. The channel has one
 reference, which the caller releases with playswarm_channel_unref. The function does not wait.
 Callable from any thread.

 Errors: PLAYSWARM_BAD_SOURCE, PLAYSWARM_CLOSED.

 # Safety
 `link` must end with a zero byte. `channel` must be valid for writes. `error` must be NULL or
 valid for writes.
 */
playswarm_code playswarm_session_watch(struct playswarm_session *session,
                                       const char *link,
                                       struct playswarm_channel **channel,
                                       struct playswarm_error **error);

/*
 Returns the link by which the channel was found. Free it with playswarm_string_free. Callable
 from any thread.

 # Safety
 `link` must be valid for writes. `error` must be NULL or valid for writes.
 */
playswarm_code playswarm_channel_link(const struct playswarm_channel *channel,
                                      char **link,
                                      struct playswarm_error **error);

/*
 Waits until a player can begin. The wait ends after `timeout_ms` milliseconds (0 means no timeout)
 or when `canceller`, which may be NULL, is cancelled. `head`, which may be NULL, receives the
 description of the stream; set `head->struct_size` before the call. Callable from any thread.

 Errors: PLAYSWARM_TIMED_OUT if no node gives the stream in time, PLAYSWARM_CANCELLED,
 PLAYSWARM_CLOSED if the stream has ended, the channel was left or the session is closed.

 # Safety
 `head` must be NULL or point to `head->struct_size` writable bytes. `error` must be NULL or valid
 for writes.
 */
playswarm_code playswarm_channel_on_air(const struct playswarm_channel *channel,
                                        uint64_t timeout_ms,
                                        const struct playswarm_canceller *canceller,
                                        struct playswarm_channel_head *head,
                                        struct playswarm_error **error);

/*
 Returns the description of the stream. Set `head->struct_size` before the call. Callable from any
 thread.

 Errors: PLAYSWARM_BAD_ARGUMENT if no node has sent it yet (playswarm_channel_on_air waits for it),
 or if `struct_size` is smaller than in the first version of the struct.

 # Safety
 `head` must point to `head->struct_size` writable bytes. `error` must be NULL or valid for writes.
 */
playswarm_code playswarm_channel_get_head(const struct playswarm_channel *channel,
                                          struct playswarm_channel_head *head,
                                          struct playswarm_error **error);

/*
 Returns a snapshot of this node's place in the channel. Set `status->struct_size` before the
 call. Callable from any thread.

 Errors: PLAYSWARM_BAD_ARGUMENT if `struct_size` is smaller than in the first version of the
 struct.

 # Safety
 `status` must point to `status->struct_size` writable bytes. `error` must be NULL or valid for
 writes.
 */
playswarm_code playswarm_channel_get_status(const struct playswarm_channel *channel,
                                            struct playswarm_channel_status *status,
                                            struct playswarm_error **error);

/*
 Returns this node's place in the channel as a JSON object. docs/LIVE-USE.md lists the fields. Free
 the string with playswarm_string_free. Callable from any thread.

 # Safety
 `json` must be valid for writes. `error` must be NULL or valid for writes.
 */
playswarm_code playswarm_channel_status_json(const struct playswarm_channel *channel,
                                             char **json,
                                             struct playswarm_error **error);

/*
 Begins to archive the channel in the folder `dir`, if its source does. The minutes are written from
 the stream, missing ones are downloaded, and all are seeded until the channel is left. Callable from
 any thread.

 Errors: PLAYSWARM_BAD_ARGUMENT if the channel has an archive in this session already,
 PLAYSWARM_CLOSED. A folder that cannot be written is no error: the status says why the archive is
 incomplete.

 # Safety
 `dir` must end with a zero byte. `error` must be NULL or valid for writes.
 */
playswarm_code playswarm_channel_archive(struct playswarm_channel *channel,
                                         const char *dir,
                                         struct playswarm_error **error);

/*
 Waits until all of an ended stream that can be had is in the archive. The wait ends after
 `timeout_ms` milliseconds (0 means no timeout) or when `canceller`, which may be NULL, is
 cancelled. Without an archive, it does not wait. Callable from any thread.

 Errors: PLAYSWARM_TIMED_OUT, PLAYSWARM_CANCELLED.

 # Safety
 `error` must be NULL or valid for writes.
 */
playswarm_code playswarm_channel_wait_archived(const struct playswarm_channel *channel,
                                               uint64_t timeout_ms,
                                               const struct playswarm_canceller *canceller,
                                               struct playswarm_error **error);

/*
 Opens the stream of the channel. It begins at the present, with what a player needs first. It is
 an ordinary stream without a size: playswarm_stream_size and all seeks return PLAYSWARM_NO_SIZE. A
 reader that is slower than the stream jumps to the present, where the setting "live_back_ms" ends.
 The stream has one reference, which the caller releases with playswarm_stream_unref. Never waits.
 Callable from any thread.

 # Safety
 `stream` must be valid for writes. `error` must be NULL or valid for writes.
 */
playswarm_code playswarm_channel_stream(struct playswarm_channel *channel,
                                        struct playswarm_stream **stream,
                                        struct playswarm_error **error);

/*
 Leaves the channel, for all its handles and streams in this session: reads fail with
 PLAYSWARM_CLOSED. Waits up to 2 s, until the nodes that are fed here have other parents. Without
 it, the last release leaves at once, and they have to notice. Callable from any thread.

 # Safety
 `error` must be NULL or valid for writes.
 */
playswarm_code playswarm_channel_leave(struct playswarm_channel *channel, struct playswarm_error **error);

/*
 Adds a reference. Callable from any thread.
 */
playswarm_code playswarm_channel_ref(struct playswarm_channel *channel);

/*
 Releases a reference. The node leaves the channel with the last of its handles and streams. NULL
 is allowed. Callable from any thread.
 */
playswarm_code playswarm_channel_unref(struct playswarm_channel *channel);

/*
 Creates settings with one reference; every setting has its default. Callable from any thread.

 # Safety
 `config` must be valid for writes. `error` must be NULL or valid for writes.
 */
playswarm_code playswarm_config_new(struct playswarm_config **config, struct playswarm_error **error);

/*
 Creates settings from a JSON object (UTF-8). Keys that are absent have their defaults. Callable
 from any thread.

 Errors: PLAYSWARM_BAD_CONFIG for unknown keys and for values of the wrong type.

 # Safety
 `json` must end with a zero byte. `config` must be valid for writes. `error` must be NULL or
 valid for writes.
 */
playswarm_code playswarm_config_from_json(const char *json,
                                          struct playswarm_config **config,
                                          struct playswarm_error **error);

/*
 Changes one setting. Examples: "dir" to "/var/films", "dht" to "false", "peers" to
 "10.0.0.1:6881,10.0.0.2:6881", "advanced.picker.seed" to "7". Callable from any thread.

 Errors: PLAYSWARM_BAD_CONFIG for an unknown key and for a value of the wrong type. Nothing
 changes in that case. playswarm_session_new checks whether the settings are consistent.

 # Safety
 `key` and `value` must end with a zero byte. `error` must be NULL or valid for writes.
 */
playswarm_code playswarm_config_set(struct playswarm_config *config,
                                    const char *key,
                                    const char *value,
                                    struct playswarm_error **error);

/*
 Returns all settings as a JSON object. Free it with playswarm_string_free. Callable from any
 thread.

 # Safety
 `json` must be valid for writes. `error` must be NULL or valid for writes.
 */
playswarm_code playswarm_config_to_json(const struct playswarm_config *config,
                                        char **json,
                                        struct playswarm_error **error);

/*
 Returns every numeric setting with its valid values as a JSON array of objects: "name" (a key of
 playswarm_config_set), "value", "least" and "most". Seeds are absent, since they may be any
 number. Free it with playswarm_string_free. Callable from any thread.

 # Safety
 `json` must be valid for writes. `error` must be NULL or valid for writes.
 */
playswarm_code playswarm_config_ranges_json(const struct playswarm_config *config,
                                            char **json,
                                            struct playswarm_error **error);

/*
 Adds a reference. Callable from any thread.
 */
playswarm_code playswarm_config_ref(struct playswarm_config *config);

/*
 Releases a reference. The last release frees the settings; sessions keep their own copies. NULL
 is allowed. Callable from any thread.
 */
playswarm_code playswarm_config_unref(struct playswarm_config *config);

/*
 Returns the code that the call returned. Returns PLAYSWARM_BAD_ARGUMENT for NULL and for handles
 that are not a live error. Callable from any thread.
 */
playswarm_code playswarm_error_code(const struct playswarm_error *error);

/*
 Returns the message as one UTF-8 sentence without a line end. It lives as long as the error: do
 not free it. Returns "" for NULL and for handles that are not a live error. Callable from any
 thread.
 */
const char *playswarm_error_message(const struct playswarm_error *error);

/*
 Adds a reference. Callable from any thread.
 */
playswarm_code playswarm_error_ref(struct playswarm_error *error);

/*
 Releases a reference. The last release frees the error. NULL is allowed. Callable from any
 thread.
 */
playswarm_code playswarm_error_unref(struct playswarm_error *error);

/*
 Returns the name of a code in snake case, such as "ok" or "bad_source", or NULL for an unknown
 number. The string is static; do not free it.
 */
const char *playswarm_code_name(int32_t code);

/*
 Returns a one-line description of a code, or NULL for an unknown number. The string is static;
 do not free it.
 */
const char *playswarm_code_description(int32_t code);

/*
 Returns 1 if a later attempt may succeed (a tracker does not answer, the disk is full),
 otherwise 0.
 */
int32_t playswarm_code_is_temporary(int32_t code);

/*
 Registers a callback for the events of the torrent from now on. It also receives the status
 every `interval_ms` milliseconds, unless that is 0.

 Each torrent has one callback. A new callback replaces it, and NULL or the last release of the
 torrent ends it. When this function returns, the old callback is not called again, unless this
 function was called from it. Do not hold a lock here that the old callback takes: this function
 waits while it runs.

 `user_data` is passed to the callback. `finalizer` may be NULL. It is called once with
 `user_data` after the last call of the callback, on the thread that ends the callback. If this
 function fails, the finalizer is not called. Callable from any thread, including callbacks.

 # Safety
 `callback` must be callable with `user_data` from another thread until it ends. `error` must be
 NULL or valid for writes.
 */
playswarm_code playswarm_torrent_set_event_callback(struct playswarm_torrent *torrent,
                                                    uint64_t interval_ms,
                                                    playswarm_event_callback callback,
                                                    void *user_data,
                                                    playswarm_finalizer finalizer,
                                                    struct playswarm_error **error);

/*
 Returns the name of an event kind in snake case, such as "peer_connected", or NULL for an
 unknown number. The string is static; do not free it.
 */
const char *playswarm_event_kind_name(int32_t kind);

/*
 Sends log lines up to `level` (1 to 5) of all sessions of the process to `callback`. NULL ends
 logging. Without a callback nothing is logged.

 The process has one log callback; a new one replaces it. When this function returns, the old
 callback is not called again, unless this function was called from it. `user_data` and
 `finalizer` work as in playswarm_torrent_set_event_callback. If the callback is too slow, lines
 are dropped and their number is logged. Callable from any thread, including callbacks.

 Errors: PLAYSWARM_BAD_ARGUMENT for any other level; PLAYSWARM_IO in a Rust program that already
 has its own logger.

 # Safety
 `callback` must be callable with `user_data` from another thread until it ends. `error` must be
 NULL or valid for writes.
 */
playswarm_code playswarm_set_log_callback(int32_t level,
                                          playswarm_log_callback callback,
                                          void *user_data,
                                          playswarm_finalizer finalizer,
                                          struct playswarm_error **error);

/*
 Returns the name of a level, such as "warn", or NULL for an unknown number. The string is
 static; do not free it.
 */
const char *playswarm_log_level_name(int32_t level);

/*
 Serves the files of a torrent over RTSP. docs/RTSP.md lists the players and formats. `file` is
 the file that playswarm_rtsp_server_url names; its URL begins with the address that `listen`
 names. `listen` is an IP address and a port, such as "0.0.0.0:8554"; NULL means loopback and any
 free port. `token`, which may be NULL, is a secret that clients must know; it is part of the URL.
 The server has one reference, which the caller releases with playswarm_rtsp_server_unref.
 Callable from any thread.

 Errors: PLAYSWARM_NO_SUCH_FILE, PLAYSWARM_LISTEN, PLAYSWARM_BAD_CONFIG for an unsuitable token.

 # Safety
 `listen` and `token` must be NULL or end with a zero byte. `server` must be valid for writes.
 `error` must be NULL or valid for writes.
 */
playswarm_code playswarm_torrent_serve_rtsp(struct playswarm_torrent *torrent,
                                            size_t file,
                                            const char *listen,
                                            const char *token,
                                            struct playswarm_rtsp_server **server,
                                            struct playswarm_error **error);

/*
 Returns the URL of the server's file, with the token. The string lives as long as the server.
 Returns "" for NULL and for handles that are not a live server. Callable from any thread.
 */
const char *playswarm_rtsp_server_url(const struct playswarm_rtsp_server *server);

/*
 Returns the sessions of players as a JSON array; docs/HTTP.md describes its fields under
 /status. Free it with playswarm_string_free. Callable from any thread.

 # Safety
 `json` must be valid for writes. `error` must be NULL or valid for writes.
 */
playswarm_code playswarm_rtsp_server_sessions_json(const struct playswarm_rtsp_server *server,
                                                   char **json,
                                                   struct playswarm_error **error);

/*
 Adds a reference. Callable from any thread.
 */
playswarm_code playswarm_rtsp_server_ref(struct playswarm_rtsp_server *server);

/*
 Releases a reference. The last release closes the listener and the connections of all players.
 NULL is allowed. Callable from any thread.
 */
playswarm_code playswarm_rtsp_server_unref(struct playswarm_rtsp_server *server);

/*
 Searches the Gnutella network for files, by the words of their names. Strangers see the words, so
 the setting "gnutella.enabled" has to allow it; docs/GNUTELLA.md says more. `kind` is "video",
 "audio" or NULL for any. The search ends after `wait_ms` milliseconds (0 means the setting
 "gnutella.search_wait_ms"), or once `most` files were found (0 means 50). A session keeps the
 results of four searches: a fifth one ends the oldest. The search has one reference, which the
 caller releases with playswarm_search_unref. The function does not wait. Callable from any thread.

 Errors: PLAYSWARM_BAD_CONFIG if the network is off, PLAYSWARM_BAD_ARGUMENT for a text without a
 word, PLAYSWARM_CLOSED.

 # Safety
 `words` must end with a zero byte. `kind` must be NULL or end with a zero byte. `search` must be
 valid for writes. `error` must be NULL or valid for writes.
 */
playswarm_code playswarm_session_search(struct playswarm_session *session,
                                        const char *words,
                                        const char *kind,
                                        uint64_t wait_ms,
                                        size_t most,
                                        struct playswarm_search **search,
                                        struct playswarm_error **error);

/*
 Waits for the next file. `json` receives it as a JSON object, which docs/CLI.md describes under
 search, or NULL once the search has ended. `link`, which may be NULL, receives the magnet link with
 which the file is opened, or NULL if it has no hash. Free both with playswarm_string_free. Each file
 is given once, and those that look like spam are not. The wait ends after `timeout_ms`
 milliseconds (0 means no timeout) or when `canceller`, which may be NULL, is cancelled. Callable
 from any thread.

 Errors: PLAYSWARM_TIMED_OUT, also if no servent could be reached in all the time,
 PLAYSWARM_CANCELLED, PLAYSWARM_CLOSED.

 # Safety
 `json` must be valid for writes. `link` and `error` must be NULL or valid for writes.
 */
playswarm_code playswarm_search_next(const struct playswarm_search *search,
                                     uint64_t timeout_ms,
                                     const struct playswarm_canceller *canceller,
                                     char **json,
                                     char **link,
                                     struct playswarm_error **error);

/*
 Returns all files so far with all their sources, as a JSON array, those of the most networks
 first. Those that look like spam say why ("hidden"). Free it with playswarm_string_free. Callable
 from any thread.

 # Safety
 `json` must be valid for writes. `error` must be NULL or valid for writes.
 */
playswarm_code playswarm_search_hits_json(const struct playswarm_search *search,
                                          char **json,
                                          struct playswarm_error **error);

/*
 Adds a reference. Callable from any thread.
 */
playswarm_code playswarm_search_ref(struct playswarm_search *search);

/*
 Releases a reference. The last release ends the search, and forgets what it found. NULL is
 allowed. Callable from any thread.
 */
playswarm_code playswarm_search_unref(struct playswarm_search *search);

/*
 Starts a session: opens its listener and joins the DHT. `abi_version` is the
 PLAYSWARM_ABI_VERSION of the header that the caller was compiled with. `config` may be NULL for
 the defaults; it is copied. The session has one reference, which the caller releases with
 playswarm_session_unref. The function waits only until the sockets are open. Callable from any
 thread.

 Errors: PLAYSWARM_BAD_ARGUMENT if the library does not provide that ABI, PLAYSWARM_BAD_CONFIG
 for inconsistent settings, PLAYSWARM_LISTEN, PLAYSWARM_STORAGE if the download folder cannot be
 used.

 # Safety
 `session` must be valid for writes. `error` must be NULL or valid for writes.
 */
playswarm_code playswarm_session_new(uint32_t abi_version,
                                     const struct playswarm_config *config,
                                     struct playswarm_session **session,
                                     struct playswarm_error **error);

/*
 Opens a source as a user types it (UTF-8): a magnet link, 40 hexadecimal digits, or the path or
 URL of a torrent file. Waits until the metainfo is known; for a magnet link a peer must send it
 first. The wait ends after `timeout_ms` milliseconds (0 means no timeout) or when `canceller`,
 which may be NULL, is cancelled. The setting "metadata_timeout_ms" always bounds the wait for
 peers.

 The torrent has one reference, which the caller releases with playswarm_torrent_unref. A torrent
 that is already open is shared. Callable from any thread.

 Errors: PLAYSWARM_BAD_SOURCE, PLAYSWARM_BAD_TORRENT, PLAYSWARM_FETCH, PLAYSWARM_NO_METADATA,
 PLAYSWARM_STORAGE, PLAYSWARM_TIMED_OUT, PLAYSWARM_CANCELLED, PLAYSWARM_CLOSED.

 # Safety
 `source` must end with a zero byte. `torrent` must be valid for writes. `error` must be NULL or
 valid for writes.
 */
playswarm_code playswarm_session_open(struct playswarm_session *session,
                                      const char *source,
                                      uint64_t timeout_ms,
                                      const struct playswarm_canceller *canceller,
                                      struct playswarm_torrent **torrent,
                                      struct playswarm_error **error);

/*
 Like playswarm_session_open, but `path` is always the path of a torrent file and need not be
 UTF-8.

 # Safety
 `path` must end with a zero byte. `torrent` must be valid for writes. `error` must be NULL or
 valid for writes.
 */
playswarm_code playswarm_session_open_file(struct playswarm_session *session,
                                           const char *path,
                                           uint64_t timeout_ms,
                                           const struct playswarm_canceller *canceller,
                                           struct playswarm_torrent **torrent,
                                           struct playswarm_error **error);

/*
 Like playswarm_session_open, but takes the content of a torrent file, which is copied.

 # Safety
 `metainfo` must point to `length` bytes. `torrent` must be valid for writes. `error` must be NULL
 or valid for writes.
 */
playswarm_code playswarm_session_open_bytes(struct playswarm_session *session,
                                            const uint8_t *metainfo,
                                            size_t length,
                                            uint64_t timeout_ms,
                                            const struct playswarm_canceller *canceller,
                                            struct playswarm_torrent **torrent,
                                            struct playswarm_error **error);

/*
 Like playswarm_session_open, but takes an info-hash of 20 bytes. Its peers must come from the
 DHT, the local network or the setting "peers".

 # Safety
 `info_hash` must point to 20 bytes. `torrent` must be valid for writes. `error` must be NULL or
 valid for writes.
 */
playswarm_code playswarm_session_open_info_hash(struct playswarm_session *session,
                                                const uint8_t *info_hash,
                                                uint64_t timeout_ms,
                                                const struct playswarm_canceller *canceller,
                                                struct playswarm_torrent **torrent,
                                                struct playswarm_error **error);

/*
 Opens what a user types and returns a reader of it: a torrent, as in playswarm_session_open, or a
 link to a live channel, as in playswarm_session_watch. `file` is the file of a torrent, as in
 playswarm_torrent_find_file; NULL stands for its default file. For players, the prefix
 `playswarm:` of a link may be absent. The stream keeps the torrent or channel open.

 Waits like playswarm_session_open for a torrent, and not for a channel. The stream has one
 reference, which the caller releases with playswarm_stream_unref. Callable from any thread.

 Errors: those of playswarm_session_open, PLAYSWARM_NO_SUCH_FILE.

 # Safety
 `source` must end with a zero byte. `file` must be NULL or end with a zero byte. `stream` must be
 valid for writes. `error` must be NULL or valid for writes.
 */
playswarm_code playswarm_session_open_stream(struct playswarm_session *session,
                                             const char *source,
                                             const char *file,
                                             uint64_t timeout_ms,
                                             const struct playswarm_canceller *canceller,
                                             struct playswarm_stream **stream,
                                             struct playswarm_error **error);

/*
 Returns the port on which peers can connect to this session. Callable from any thread.

 # Safety
 `port` must be valid for writes.
 */
playswarm_code playswarm_session_port(const struct playswarm_session *session, uint16_t *port);

/*
 Returns the progress of the magnet links that calls are opening, as a JSON array: peers found and
 connected, received bytes of the metadata, and what trackers said. docs/C.md lists the fields.
 Free it with playswarm_string_free. Callable from any thread.

 # Safety
 `json` must be valid for writes. `error` must be NULL or valid for writes.
 */
playswarm_code playswarm_session_opening_json(const struct playswarm_session *session,
                                              char **json,
                                              struct playswarm_error **error);

/*
 Closes the session. All waiting calls in any thread and all later reads and opens fail with
 PLAYSWARM_CLOSED. Waits until verified data is written. Handles stay alive until they are
 released. A second call does nothing. Callable from any thread, including callbacks.

 # Safety
 `error` must be NULL or valid for writes.
 */
playswarm_code playswarm_session_close(struct playswarm_session *session, struct playswarm_error **error);

/*
 Adds a reference. Callable from any thread.
 */
playswarm_code playswarm_session_ref(struct playswarm_session *session);

/*
 Releases a reference. The session ends when its last reference and all its torrents and streams
 are released. That last release waits up to 10 s for verified data to be written. NULL is
 allowed. Callable from any thread, including callbacks.
 */
playswarm_code playswarm_session_unref(struct playswarm_session *session);

/*
 Returns a snapshot of the status of the torrent. Set `status->struct_size` before the call.
 Callable from any thread.

 Errors: PLAYSWARM_BAD_ARGUMENT if `struct_size` is smaller than in the first version of the
 struct.

 # Safety
 `status` must point to `status->struct_size` writable bytes. `error` must be NULL or valid for
 writes.
 */
playswarm_code playswarm_torrent_get_status(const struct playswarm_torrent *torrent,
                                            struct playswarm_torrent_status *status,
                                            struct playswarm_error **error);

/*
 Returns the full status of the torrent with its peers and readers, as a JSON object.
 docs/HTTP.md lists the fields. Free the string with playswarm_string_free. Callable from any
 thread.

 # Safety
 `json` must be valid for writes. `error` must be NULL or valid for writes.
 */
playswarm_code playswarm_torrent_status_json(const struct playswarm_torrent *torrent,
                                             char **json,
                                             struct playswarm_error **error);

/*
 Returns the reason why nothing can be downloaded at present (for example a full disk or no
 peers) as a sentence. Free it with playswarm_string_free. Returns NULL if the download can
 continue. Callable from any thread.

 # Safety
 `trouble` must be valid for writes.
 */
playswarm_code playswarm_torrent_trouble(const struct playswarm_torrent *torrent, char **trouble);

/*
 Writes the state of each piece as one character: '#' available, '+' being downloaded, '.'
 missing. The map has no terminating zero. Up to `capacity` characters are written to `map`,
 which may be NULL if `capacity` is 0. `pieces` receives the number of pieces. Callable from any
 thread.

 # Safety
 `map` must point to `capacity` writable bytes. `pieces` must be valid for writes. `error` must
 be NULL or valid for writes.
 */
playswarm_code playswarm_torrent_piece_map(const struct playswarm_torrent *torrent,
                                           char *map,
                                           size_t capacity,
                                           size_t *pieces,
                                           struct playswarm_error **error);

/*
 Reads at the current position and advances it. Waits until at least one byte is available and
 verified. Copies up to `capacity` bytes to `buffer` and stores their number in `read`. The
 number is 0 at the end of the file or channel and for a `capacity` of 0. The function returns
 what is available, which is often less than `capacity`. A seek from another thread makes a waiting read
 continue at the new position. Callable from any thread.

 Errors: PLAYSWARM_CANCELLED after playswarm_stream_cancel, PLAYSWARM_CLOSED after
 playswarm_session_close or playswarm_channel_leave, PLAYSWARM_STORAGE if data on disk cannot be read. The position does not
 change in these cases.

 # Safety
 `buffer` must point to `capacity` writable bytes; it may be NULL if `capacity` is 0. `read` must
 be valid for writes. `error` must be NULL or valid for writes.
 */
playswarm_code playswarm_stream_read(struct playswarm_stream *stream,
                                     void *buffer,
                                     size_t capacity,
                                     size_t *read,
                                     struct playswarm_error **error);

/*
 Moves to `offset` bytes from the start of the file, the current position or the end of the file.
 `whence` selects the origin: PLAYSWARM_SEEK_SET, _CUR or _END. The function never waits for
 data. A position past the end is allowed; reads there return 0 bytes. `position`, which may be
 NULL, receives the new position. Callable from any thread.

 Errors: PLAYSWARM_BAD_ARGUMENT for a position before the start or beyond INT64_MAX,
 PLAYSWARM_NO_SIZE for a live channel, unless the position stays the same. The position does not
 change in these cases.

 # Safety
 `position` and `error` must be NULL or valid for writes.
 */
playswarm_code playswarm_stream_seek(struct playswarm_stream *stream,
                                     int64_t offset,
                                     int32_t whence,
                                     uint64_t *position,
                                     struct playswarm_error **error);

/*
 Returns the size of the file in bytes. Callable from any thread.

 Errors: PLAYSWARM_NO_SIZE for a live channel, which has no size and cannot be sought in.

 # Safety
 `size` must be valid for writes.
 */
playswarm_code playswarm_stream_size(const struct playswarm_stream *stream, uint64_t *size);

/*
 Returns the position of the next byte to read; for a live channel, the number of bytes that were
 read. Callable from any thread.

 # Safety
 `position` must be valid for writes.
 */
playswarm_code playswarm_stream_position(const struct playswarm_stream *stream, uint64_t *position);

/*
 Returns the number of bytes that can be read from `position` without waiting for the swarm; 0
 past the end, and for a live channel at other positions than the present one. It never waits. Callable from any thread.

 # Safety
 `readable` must be valid for writes.
 */
playswarm_code playswarm_stream_readable_at(const struct playswarm_stream *stream,
                                            uint64_t position,
                                            uint64_t *readable);

/*
 Sets the torrent's data rate in bytes per second, if the player knows it. It determines the
 deadlines of pieces. Otherwise the rate is measured from the reads. It has no effect on a live
 channel. Callable from any thread.

 Errors: PLAYSWARM_BAD_ARGUMENT unless the rate is a positive, finite number.
 */
playswarm_code playswarm_stream_set_rate(struct playswarm_stream *stream, double bytes_per_s);

/*
 Ends all waiting reads and time seeks with PLAYSWARM_CANCELLED. Later ones fail at once until
 playswarm_stream_reset. Callable from any thread.
 */
playswarm_code playswarm_stream_cancel(struct playswarm_stream *stream);

/*
 Allows reads of a cancelled stream again. Callable from any thread.
 */
playswarm_code playswarm_stream_reset(struct playswarm_stream *stream);

/*
 Returns 1 while the stream is cancelled, otherwise 0. Returns 0 for NULL and for handles that
 are not a live stream. Callable from any thread.
 */
int32_t playswarm_stream_is_cancelled(const struct playswarm_stream *stream);

/*
 Registers a callback for changes of the readable data. It is called once at registration and
 whenever more data can be read at the position. It is also called after each seek and
 cancellation, when the session is closed, and at the end of a live channel. Then check playswarm_stream_readable_at and read
 the available data. The callback does not start a download; the first read does.

 Each stream has one callback. The rules for replacing it, for NULL, `user_data` and `finalizer`
 are those of playswarm_torrent_set_event_callback. Callable from any thread, including callbacks.

 # Safety
 `callback` must be callable with `user_data` from another thread until it ends. `error` must be
 NULL or valid for writes.
 */
playswarm_code playswarm_stream_set_readable_callback(struct playswarm_stream *stream,
                                                      playswarm_readable_callback callback,
                                                      void *user_data,
                                                      playswarm_finalizer finalizer,
                                                      struct playswarm_error **error);

/*
 Returns a file descriptor (an eventfd) for poll, select or epoll. It becomes readable whenever a
 callback of playswarm_stream_set_readable_callback would be called. Read 8 bytes from it, then
 check playswarm_stream_readable_at. Every call returns the same descriptor. The stream closes
 it: do not close it. Linux only. Callable from any thread.

 # Safety
 `fd` must be valid for writes. `error` must be NULL or valid for writes.
 */
playswarm_code playswarm_stream_eventfd(struct playswarm_stream *stream,
                                        int32_t *fd,
                                        struct playswarm_error **error);

/*
 Adds a reference. Callable from any thread.
 */
playswarm_code playswarm_stream_ref(struct playswarm_stream *stream);

/*
 Releases a reference. After the last release the data that the stream needed is not downloaded
 any more. Reads in other threads complete normally. NULL is allowed. Callable from any thread,
 including callbacks.
 */
playswarm_code playswarm_stream_unref(struct playswarm_stream *stream);

/*
 Returns the timing information of a file. Waits until its index is read from the swarm, which
 happens once, or until `canceller` is cancelled. `canceller` may be NULL. Set
 `info->struct_size` before the call. Callable from any thread.

 Errors: PLAYSWARM_NO_SUCH_FILE, PLAYSWARM_STORAGE, PLAYSWARM_CANCELLED, PLAYSWARM_CLOSED. A file
 without an index is not an error: its information is estimated.

 # Safety
 `info` must point to `info->struct_size` writable bytes. `error` must be NULL or valid for
 writes.
 */
playswarm_code playswarm_torrent_get_time(struct playswarm_torrent *torrent,
                                          size_t file,
                                          const struct playswarm_canceller *canceller,
                                          struct playswarm_time_info *info,
                                          struct playswarm_error **error);

/*
 Moves to the keyframe at or before a time, in microseconds from the start of the film. A time
 past the end selects the end. If the index of the file is known, the function does not wait.
 Otherwise it waits for the index or for the few bytes that locate the time, until
 playswarm_stream_cancel. `seek_point`, which may be NULL, receives the result. Set its
 `struct_size` before the call. Callable from any thread.

 Errors: PLAYSWARM_BAD_ARGUMENT for a negative time, PLAYSWARM_CANCELLED, PLAYSWARM_CLOSED,
 PLAYSWARM_STORAGE. The position does not change in these cases.

 # Safety
 `seek_point` must be NULL or point to `seek_point->struct_size` writable bytes. `error` must be NULL
 or valid for writes.
 */
playswarm_code playswarm_stream_seek_time(struct playswarm_stream *stream,
                                          int64_t time_us,
                                          struct playswarm_seek_point *seek_point,
                                          struct playswarm_error **error);

/*
 Returns the media time at the current position, in microseconds from the start of the film.
 Returns -1 while the timing of the file is unknown; playswarm_torrent_get_time and
 playswarm_stream_seek_time determine it. It never waits. Callable from any thread.

 # Safety
 `time_us` must be valid for writes.
 */
playswarm_code playswarm_stream_time(const struct playswarm_stream *stream, int64_t *time_us);

/*
 Returns the name of the torrent in UTF-8. The string lives as long as the torrent. Returns "" for
 NULL and for handles that are not a live torrent. Callable from any thread.
 */
const char *playswarm_torrent_name(const struct playswarm_torrent *torrent);

/*
 Returns the info-hash of the torrent: 20 bytes. Callable from any thread.

 # Safety
 `info_hash` must point to 20 writable bytes.
 */
playswarm_code playswarm_torrent_info_hash(const struct playswarm_torrent *torrent, uint8_t *info_hash);

/*
 Returns the number of files in the torrent, including padding files. Valid file indices are 0 to
 `count` - 1. Callable from any thread.

 # Safety
 `count` must be valid for writes.
 */
playswarm_code playswarm_torrent_file_count(const struct playswarm_torrent *torrent, size_t *count);

/*
 Returns the properties of a file. Set `info->struct_size` to sizeof(playswarm_file_info) before
 the call; see playswarm_torrent_status. The strings in `info` live as long as the torrent. Callable
 from any thread.

 Errors: PLAYSWARM_NO_SUCH_FILE.

 # Safety
 `info` must point to `info->struct_size` writable bytes. `error` must be NULL or valid for
 writes.
 */
playswarm_code playswarm_torrent_file(const struct playswarm_torrent *torrent,
                                      size_t file,
                                      struct playswarm_file_info *info,
                                      struct playswarm_error **error);

/*
 Returns the file to play by default, judged by names: the largest playable file.
 playswarm_torrent_choose_file also reads from files. Callable from any thread.

 Errors: PLAYSWARM_NO_SUCH_FILE if the torrent has no playable file.

 # Safety
 `file` must be valid for writes. `error` must be NULL or valid for writes.
 */
playswarm_code playswarm_torrent_default_file(const struct playswarm_torrent *torrent,
                                              size_t *file,
                                              struct playswarm_error **error);

/*
 Returns the file to play by default, judged by names, and by the first bytes of large files whose
 names tell nothing. Waits for these bytes, for 10 seconds at most, or until `canceller` is
 cancelled; `canceller` may be NULL. Without them, names decide. Callable from any thread.

 Errors: PLAYSWARM_NO_SUCH_FILE if the torrent has no playable file; PLAYSWARM_CANCELLED.

 # Safety
 `file` must be valid for writes. `error` must be NULL or valid for writes.
 */
playswarm_code playswarm_torrent_choose_file(struct playswarm_torrent *torrent,
                                             const struct playswarm_canceller *canceller,
                                             size_t *file,
                                             struct playswarm_error **error);

/*
 Finds the file that the user specified by an index, a name or a part of a name that only one
 file has. Callable from any thread.

 Errors: PLAYSWARM_NO_SUCH_FILE if no file or more than one file matches.

 # Safety
 `wanted` must end with a zero byte. `file` must be valid for writes. `error` must be NULL or
 valid for writes.
 */
playswarm_code playswarm_torrent_find_file(const struct playswarm_torrent *torrent,
                                           const char *wanted,
                                           size_t *file,
                                           struct playswarm_error **error);

/*
 Opens a reader at the start of a file. Any number of readers may be open. Downloading begins
 with the first read. The stream has one reference, which the caller releases with
 playswarm_stream_unref. It may outlive the handles of the torrent and the session. Callable from
 any thread.

 Errors: PLAYSWARM_NO_SUCH_FILE.

 # Safety
 `stream` must be valid for writes. `error` must be NULL or valid for writes.
 */
playswarm_code playswarm_torrent_stream(struct playswarm_torrent *torrent,
                                        size_t file,
                                        struct playswarm_stream **stream,
                                        struct playswarm_error **error);

/*
 Starts to download the beginning of a file before the first read, so that a player starts
 sooner. It ends with the first read or after 30 seconds. Callable from any thread.
 */
playswarm_code playswarm_torrent_prefetch(struct playswarm_torrent *torrent, size_t file);

/*
 Selects whether the whole torrent is downloaded (1) or only the data that streams need (0, the
 default). Callable from any thread.
 */
playswarm_code playswarm_torrent_fetch_all(struct playswarm_torrent *torrent, int32_t on);

/*
 Connects to a peer. Examples of addresses: "192.0.2.7:6881", "[2001:db8::7]:6881",
 "peer.example:6881". Host names are resolved in the background. The function does not wait.
 Callable from any thread.

 Errors: PLAYSWARM_BAD_ARGUMENT if the text is not an address.

 # Safety
 `address` must end with a zero byte. `error` must be NULL or valid for writes.
 */
playswarm_code playswarm_torrent_add_peer(struct playswarm_torrent *torrent,
                                          const char *address,
                                          struct playswarm_error **error);

/*
 Adds a mirror: the http or https URL of a web server that has the torrent's only file, or of the
 folder that has its files (BEP 19). What it sends is verified like data of peers. The function
 does not wait. Callable from any thread.

 Errors: PLAYSWARM_BAD_ARGUMENT if the text is no such URL.

 # Safety
 `url` must end with a zero byte. `error` must be NULL or valid for writes.
 */
playswarm_code playswarm_torrent_add_source(struct playswarm_torrent *torrent,
                                            const char *url,
                                            struct playswarm_error **error);

/*
 Checks the files in the download folder and accepts every piece with a correct hash. Use it for
 files that another program wrote. Waits until the check ends or `canceller` is cancelled;
 `canceller` may be NULL. `verified_bytes`, which may be NULL, receives the size of the correct
 pieces in bytes. Callable from any thread.

 Errors: PLAYSWARM_STORAGE, PLAYSWARM_CANCELLED, PLAYSWARM_CLOSED.

 # Safety
 `verified_bytes` and `error` must be NULL or valid for writes.
 */
playswarm_code playswarm_torrent_recheck(struct playswarm_torrent *torrent,
                                         const struct playswarm_canceller *canceller,
                                         uint64_t *verified_bytes,
                                         struct playswarm_error **error);

/*
 Waits until all verified data is on disk or `canceller` is cancelled; `canceller` may be NULL.
 Callable from any thread.

 Errors: PLAYSWARM_DISK_FULL or PLAYSWARM_STORAGE if the data cannot be written;
 PLAYSWARM_CANCELLED.

 # Safety
 `error` must be NULL or valid for writes.
 */
playswarm_code playswarm_torrent_sync(struct playswarm_torrent *torrent,
                                      const struct playswarm_canceller *canceller,
                                      struct playswarm_error **error);

/*
 Adds a reference. Callable from any thread.
 */
playswarm_code playswarm_torrent_ref(struct playswarm_torrent *torrent);

/*
 Releases a reference. The last release ends the strings and the event callback of the torrent. The
 torrent stays open while it has streams. NULL is allowed. Callable from any thread, including
 callbacks.
 */
playswarm_code playswarm_torrent_unref(struct playswarm_torrent *torrent);

#ifdef __cplusplus
}  // extern "C"
#endif  // __cplusplus

#endif  /* PLAYSWARM_H */
