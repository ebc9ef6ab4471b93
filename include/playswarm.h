/* playswarm.h: the video of a swarm, played while it downloads, with instant seek.
 *
 * Generated from ffi-c/src; change it there. docs/C.md in the source is the guide, examples/c shows whole programs.
 *
 * What holds for every function:
 *
 * - Handles (playswarm_session *, playswarm_media *, …) are opaque and counted. What makes one gives one reference;
 *   ..._ref takes one more, ..._unref gives one back. A handle that is NULL, was released or is of another kind is told:
 *   PLAYSWARM_BAD_ARGUMENT, and nothing is touched. NULL may be released.
 * - Any function may be called from any thread at any time, also from callbacks; none keeps anything for each thread. Where a
 *   function waits, its comment says so, and what ends the wait.
 * - const means that what is behind the handle is not changed. What is given stands before what is got.
 * - What can fail returns a playswarm_code, 0 for success. With an `error` that is not NULL, *error becomes NULL, or an error
 *   that the caller releases with playswarm_error_unref; it has a sentence for people. A call that failed has done nothing and
 *   given nothing; a handle that it was to give is NULL.
 * - Strings are UTF-8 and end with a zero. `const char *` belongs to what it was asked of; `char *` is the caller's and freed
 *   with playswarm_string_free.
 * - No panic and no exception leaves the library; a fault of its own is PLAYSWARM_INTERNAL and a line in the log.
 */

#ifndef PLAYSWARM_H
#define PLAYSWARM_H

#include <stddef.h>
#include <stdint.h>

/*
 The version of this header, for playswarm_session_new: the ABI's number in the upper 16 bits, which is that of the
 library's file too (libplayswarm.so.0), and a count of additions in the lower 16.
 */
#define PLAYSWARM_ABI_VERSION 1

/*
 For playswarm_stream_seek: from the start of the file. The numbers are those of <stdio.h>.
 */
#define PLAYSWARM_SEEK_SET 0

/*
 From the present position.
 */
#define PLAYSWARM_SEEK_CUR 1

/*
 From the end of the file.
 */
#define PLAYSWARM_SEEK_END 2

/*
 What became of a call. 0 is success; the others are kinds of errors, whose numbers never change.
 */
enum playswarm_code
#if defined(__cplusplus) || __STDC_VERSION__ >= 202311L
  : int32_t
#endif // defined(__cplusplus) || __STDC_VERSION__ >= 202311L
 {
    /*
     It was done.
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
     Something could not be fetched.
     */
    PLAYSWARM_FETCH = 3,
    /*
     Nobody gave the metadata of a magnet link.
     */
    PLAYSWARM_NO_METADATA = 4,
    /*
     There is no such file, or nothing that can be played.
     */
    PLAYSWARM_NO_SUCH_FILE = 5,
    /*
     A file or folder could not be used.
     */
    PLAYSWARM_STORAGE = 6,
    /*
     The disk is full.
     */
    PLAYSWARM_DISK_FULL = 7,
    /*
     An address could not be listened on.
     */
    PLAYSWARM_LISTEN = 8,
    /*
     A setting cannot be used.
     */
    PLAYSWARM_BAD_CONFIG = 9,
    /*
     Cancelled by the caller.
     */
    PLAYSWARM_CANCELLED = 10,
    /*
     The session or media is closed.
     */
    PLAYSWARM_CLOSED = 11,
    /*
     Out of time.
     */
    PLAYSWARM_TIMED_OUT = 12,
    /*
     Other input or output.
     */
    PLAYSWARM_IO = 13,
    /*
     A call was made wrongly: NULL, a handle that is not alive, a size or position that cannot be. Nothing was done.
     */
    PLAYSWARM_BAD_ARGUMENT = 14,
    /*
     A fault of playswarm itself.
     */
    PLAYSWARM_INTERNAL = 15,
};
#ifndef __cplusplus
#if __STDC_VERSION__ >= 202311L
typedef enum playswarm_code playswarm_code;
#else
typedef int32_t playswarm_code;
#endif // __STDC_VERSION__ >= 202311L
#endif // __cplusplus

/*
 What an event tells of. There will be more of them: a program leaves out those that it does not know.
 */
enum playswarm_event_kind
#if defined(__cplusplus) || __STDC_VERSION__ >= 202311L
  : int32_t
#endif // defined(__cplusplus) || __STDC_VERSION__ >= 202311L
 {
    /*
     The interval that was asked for is over: `status`.
     */
    PLAYSWARM_EVENT_STATUS = 1,
    /*
     A peer was connected: `peer`.
     */
    PLAYSWARM_EVENT_PEER_CONNECTED = 2,
    /*
     A peer is gone: `peer`, `message`.
     */
    PLAYSWARM_EVENT_PEER_DISCONNECTED = 3,
    /*
     A peer was turned away for good: `peer`, `message`.
     */
    PLAYSWARM_EVENT_PEER_BANNED = 4,
    /*
     A piece is here and verified: `number`.
     */
    PLAYSWARM_EVENT_PIECE_VERIFIED = 5,
    /*
     A piece came but was wrong; it is fetched again: `number`.
     */
    PLAYSWARM_EVENT_PIECE_FAILED = 6,
    /*
     A piece is not here any more: `number`.
     */
    PLAYSWARM_EVENT_PIECE_LOST = 7,
    /*
     Nothing can be fetched for now: `message`.
     */
    PLAYSWARM_EVENT_TROUBLE = 8,
    /*
     The trouble is over.
     */
    PLAYSWARM_EVENT_TROUBLE_OVER = 9,
    /*
     Every piece is here.
     */
    PLAYSWARM_EVENT_COMPLETED = 10,
    /*
     The callback was too slow, and events were left out: `number` of them.
     */
    PLAYSWARM_EVENT_MISSED = 11,
    /*
     The torrent was closed; this is the last event.
     */
    PLAYSWARM_EVENT_CLOSED = 12,
    /*
     Something about the torrent's files that the user should know, such as a name that is taken: `message`.
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
 How grave a log line is.
 */
enum playswarm_log_level
#if defined(__cplusplus) || __STDC_VERSION__ >= 202311L
  : int32_t
#endif // defined(__cplusplus) || __STDC_VERSION__ >= 202311L
 {
    /*
     Something failed that should not have.
     */
    PLAYSWARM_LOG_ERROR = 1,
    /*
     Something that a user may want to know of.
     */
    PLAYSWARM_LOG_WARN = 2,
    /*
     What happens, in few lines.
     */
    PLAYSWARM_LOG_INFO = 3,
    /*
     For those who look for a fault; with addresses of peers.
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
 Ends a call that waits (opening a torrent, looking through files) from another thread.
 */
typedef struct playswarm_canceller playswarm_canceller;

/*
 Settings of a session: the keys of docs/CLI.md and of Rust's `Config`. A session copies them when it is made.
 */
typedef struct playswarm_config playswarm_config;

/*
 Why a call failed: its code and a sentence for people. Whoever asked for it owns it.
 */
typedef struct playswarm_error playswarm_error;

/*
 An open torrent. It stays open until its last reference and all its streams are gone.
 */
typedef struct playswarm_media playswarm_media;

/*
 The root of everything: one listener, one DHT node, many torrents, and the threads that they need.
 */
typedef struct playswarm_session playswarm_session;

/*
 A reader of one file. Any thread may use it; each byte goes to one of those who read it at once.
 */
typedef struct playswarm_stream playswarm_stream;

/*
 What a torrent is doing.

 Whoever asks for it sets `struct_size` to sizeof(playswarm_media_status) first. A program that was compiled with an older
 header gets the fields that it knows; one that was compiled with a newer header finds in `struct_size` how many bytes this
 library has filled. Nothing beyond `struct_size` is touched.
 */
typedef struct playswarm_media_status {
    /*
     See above.
     */
    size_t struct_size;
    /*
     Bytes of all files.
     */
    uint64_t total_bytes;
    /*
     Bytes of the pieces that are verified and here.
     */
    uint64_t verified_bytes;
    /*
     Verified bytes without a gap ahead of the reader that has the least; 0 without readers.
     */
    uint64_t ahead_bytes;
    /*
     The same in seconds of the media; negative where its rate is not known yet.
     */
    double ahead_s;
    /*
     Payload received over the last seconds, bytes per second.
     */
    double download_bytes_per_s;
    /*
     Payload sent over the last seconds, bytes per second.
     */
    double upload_bytes_per_s;
    /*
     Payload received since the torrent was opened.
     */
    uint64_t downloaded_bytes;
    /*
     Payload sent since the torrent was opened.
     */
    uint64_t uploaded_bytes;
    /*
     Blocks received that had come from another peer before, in bytes.
     */
    uint64_t waste_duplicate_bytes;
    /*
     Blocks received that nobody asked for, in bytes.
     */
    uint64_t waste_unasked_bytes;
    /*
     Pieces received that failed their hash, in bytes.
     */
    uint64_t waste_failed_bytes;
    /*
     Blocks received and given up to make room in memory, in bytes.
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
     Useful payload that came from parents, the viewers just ahead that the slot index found; 0 where it is not used.
     */
    uint64_t parent_bytes;
    /*
     Bytes per piece.
     */
    uint32_t piece_bytes;
    /*
     Number of pieces.
     */
    uint32_t pieces;
    /*
     Connected peers.
     */
    uint32_t peers;
    /*
     How many of them have a place kept as parents.
     */
    uint32_t parents;
    /*
     Peers known but not connected.
     */
    uint32_t known_peers;
    /*
     Peers turned away for good.
     */
    uint32_t banned_peers;
    /*
     Open streams that were read.
     */
    uint32_t readers;
    /*
     How many of them wait for data now.
     */
    uint32_t waiting_readers;
    /*
     1 if nothing can be fetched at the moment (playswarm_media_trouble says why), else 0.
     */
    uint32_t is_in_trouble;
    /*
     Trackers that failed or refused the last time; playswarm_media_trouble has the words of one where no peer is connected.
     */
    uint32_t failed_trackers;
} playswarm_media_status;

/*
 An event. It and what it points to live until the callback returns.
 */
typedef struct playswarm_event {
    /*
     How many bytes of this struct the library has filled: fields that lie beyond are not there.
     */
    size_t struct_size;
    /*
     What happened.
     */
    playswarm_event_kind kind;
    /*
     A piece's number, or how many events were missed; else 0.
     */
    uint32_t number;
    /*
     A peer's address, "192.0.2.7:6881"; else NULL.
     */
    const char *peer;
    /*
     A sentence, or a few words; else NULL.
     */
    const char *message;
    /*
     A snapshot, with PLAYSWARM_EVENT_STATUS; else NULL.
     */
    const struct playswarm_media_status *status;
} playswarm_event;

/*
 Hears of events, on the session's own thread, one at a time. It may call any function of this header, also one that ends
 what it is called for, and should return soon. It must not throw.
 */
typedef void (*playswarm_event_callback)(void *user_data, const struct playswarm_event *event);

/*
 Frees what was given along with a callback.
 */
typedef void (*playswarm_finalizer)(void *user_data);

/*
 Hears log lines on a thread of their own, one at a time: the part of playswarm that speaks, and a line of UTF-8 without its end.
 Both live until it returns. It may call any function of this header and must not throw.
 */
typedef void (*playswarm_log_callback)(void *user_data,
                                       playswarm_log_level level,
                                       const char *target,
                                       const char *message);

/*
 A file of a torrent.
 */
typedef struct playswarm_file_info {
    /*
     sizeof(playswarm_file_info); see playswarm_media_status.
     */
    size_t struct_size;
    /*
     Bytes of the file.
     */
    uint64_t length;
    /*
     Its name as the torrent has it, folders and all, joined by "/"; UTF-8.
     */
    const char *name;
    /*
     Its media type by its name, such as "video/x-matroska".
     */
    const char *content_type;
    /*
     1 if a player would open it, else 0.
     */
    uint32_t is_playable;
    /*
     1 if it is padding that nobody sees, else 0.
     */
    uint32_t is_padding;
} playswarm_file_info;

/*
 Hears that a stream should be looked at, on the session's own thread, one call at a time. It may call any function of this
 header, should return soon and must not throw.
 */
typedef void (*playswarm_readable_callback)(void *user_data);

/*
 What a file says of its time.
 */
typedef struct playswarm_time_info {
    /*
     sizeof(playswarm_time_info); see playswarm_media_status.
     */
    size_t struct_size;
    /*
     How long it plays, in microseconds; 0 where that is not known.
     */
    int64_t duration_us;
    /*
     How many places to jump to are known.
     */
    size_t keyframes;
    /*
     How many tracks (pictures, sound, subtitles) it has.
     */
    uint32_t tracks;
    /*
     1 if the file has no index that can be used and all is reckoned from its size, else 0.
     */
    uint32_t is_estimate;
} playswarm_time_info;

/*
 Where playing from a time begins.
 */
typedef struct playswarm_landing {
    /*
     sizeof(playswarm_landing); see playswarm_media_status.
     */
    size_t struct_size;
    /*
     The time of the keyframe, in microseconds from the film's start: at or before the time that was asked for.
     */
    int64_t time_us;
    /*
     The first byte to read.
     */
    uint64_t position;
    /*
     What should be here before it plays ends before this byte: the next keyframe.
     */
    uint64_t until;
    /*
     1 if it is a guess along a straight line, else 0.
     */
    uint32_t is_estimate;
    /*
     0.
     */
    uint32_t reserved;
} playswarm_landing;

#ifdef __cplusplus
extern "C" {
#endif // __cplusplus

/*
 The ABI that this library has: PLAYSWARM_ABI_VERSION of the header that it was built with.
 */
uint32_t playswarm_abi_version(void);

/*
 The library's version, such as "0.1.0"; never freed.
 */
const char *playswarm_version(void);

/*
 Frees a string that a function of this header handed over as `char *`. NULL is no mistake.

 PLAYSWARM_BAD_ARGUMENT if it is none of these or was freed before: nothing happens then.
 */
playswarm_code playswarm_string_free(char *string);

/*
 How many handles and strings were handed out and not released: 0 at the end of a program that lost none.
 */
size_t playswarm_live_handles(void);

/*
 Makes a canceller with one reference, which the caller gives back with playswarm_canceller_unref. From any thread.

 # Safety
 `canceller` may be written; `error` is NULL or may be.
 */
playswarm_code playswarm_canceller_new(struct playswarm_canceller **canceller,
                                       struct playswarm_error **error);

/*
 Ends the calls that wait with this canceller, and all later ones at once, with PLAYSWARM_CANCELLED. From any thread.
 */
playswarm_code playswarm_canceller_cancel(struct playswarm_canceller *canceller);

/*
 Makes it as if it had not been cancelled. From any thread.
 */
playswarm_code playswarm_canceller_reset(struct playswarm_canceller *canceller);

/*
 1 while it is cancelled, else 0; 0 for NULL and for what is no live canceller. From any thread.
 */
int32_t playswarm_canceller_is_cancelled(const struct playswarm_canceller *canceller);

/*
 Takes one more reference. From any thread.
 */
playswarm_code playswarm_canceller_ref(struct playswarm_canceller *canceller);

/*
 Gives a reference back; calls that wait with it may still do so. NULL is no mistake. From any thread.
 */
playswarm_code playswarm_canceller_unref(struct playswarm_canceller *canceller);

/*
 Makes settings that all have their defaults, with one reference. From any thread.

 # Safety
 `config` may be written; `error` is NULL or may be.
 */
playswarm_code playswarm_config_new(struct playswarm_config **config, struct playswarm_error **error);

/*
 Makes settings from a JSON object (UTF-8); what it leaves out has its default. From any thread.

 PLAYSWARM_BAD_CONFIG for keys that there are not and values that are not of their kind.

 # Safety
 `json` ends with a zero byte; `config` may be written; `error` is NULL or may be.
 */
playswarm_code playswarm_config_from_json(const char *json,
                                          struct playswarm_config **config,
                                          struct playswarm_error **error);

/*
 Changes one setting: "dir" to "/var/films", "dht" to "false", "peers" to "10.0.0.1:6881,10.0.0.2:6881",
 "picker.seed" to "7". From any thread.

 PLAYSWARM_BAD_CONFIG for a key that there is not and a value that is not of its kind; nothing is changed then.
 Whether the settings fit each other is looked at by playswarm_session_new.

 # Safety
 `key` and `value` end with a zero byte; `error` is NULL or may be written.
 */
playswarm_code playswarm_config_set(struct playswarm_config *config,
                                    const char *key,
                                    const char *value,
                                    struct playswarm_error **error);

/*
 All settings as a JSON object, to be freed with playswarm_string_free. From any thread.

 # Safety
 `json` may be written; `error` is NULL or may be.
 */
playswarm_code playswarm_config_to_json(const struct playswarm_config *config,
                                        char **json,
                                        struct playswarm_error **error);

/*
 Takes one more reference. From any thread.
 */
playswarm_code playswarm_config_ref(struct playswarm_config *config);

/*
 Gives a reference back; the last one frees the settings, which no session needs any more. NULL is no mistake. From any
 thread.
 */
playswarm_code playswarm_config_unref(struct playswarm_config *config);

/*
 The code that the call returned; PLAYSWARM_BAD_ARGUMENT for NULL and for what is no live error. From any thread.
 */
playswarm_code playswarm_error_code(const struct playswarm_error *error);

/*
 The sentence, UTF-8, without a line's end. It lives as long as the error: do not free it. "" for NULL and for what is
 no live error. From any thread.
 */
const char *playswarm_error_message(const struct playswarm_error *error);

/*
 Takes one more reference. From any thread.
 */
playswarm_code playswarm_error_ref(struct playswarm_error *error);

/*
 Gives a reference back; the last one frees the error. NULL is no mistake. From any thread.
 */
playswarm_code playswarm_error_unref(struct playswarm_error *error);

/*
 A code's name in snake case, "ok" or such as "bad_source"; NULL for a number that is no code. Never freed.
 */
const char *playswarm_code_name(int32_t code);

/*
 What a code stands for, in a line; NULL for a number that is no code. Never freed.
 */
const char *playswarm_code_description(int32_t code);

/*
 1 if trying again later may help (a tracker that does not answer, a full disk), else 0.
 */
int32_t playswarm_code_is_temporary(int32_t code);

/*
 Tells of what happens to the torrent from now on, and gives its status every `interval_ms` milliseconds unless that is
 0. There is one callback a media: another one takes its place, and NULL ends it, as does the media's last release. Once this
 returns the old one is not called any more, unless this was called from it. Do not hold a lock here that the old one
 takes: this waits while it runs.

 `user_data` is handed to the callback; `finalizer`, which may be NULL, is called once with it when the callback will not be called
 any more, on the thread that ends it. If this function fails the finalizer is not called. From any thread, callbacks too.

 # Safety
 `callback` may be called with `user_data` from another thread until it is ended; `error` is NULL or may be written.
 */
playswarm_code playswarm_media_set_event_callback(struct playswarm_media *media,
                                                  uint64_t interval_ms,
                                                  playswarm_event_callback callback,
                                                  void *user_data,
                                                  playswarm_finalizer finalizer,
                                                  struct playswarm_error **error);

/*
 The name of a kind of event in snake case, such as "peer_connected"; NULL for a number that is none. Never freed.
 */
const char *playswarm_event_kind_name(int32_t kind);

/*
 Hands log lines up to `level` (1 to 5) to `callback`, for all sessions of the process; NULL ends it. Without a callback
 nothing is logged anywhere. There is one: another takes its place. When this returns the old one is not called any more, unless
 this was called from it; `user_data` and `finalizer` are as with playswarm_media_set_event_callback. A callback that is too slow
 loses lines, and is told how many. From any thread, callbacks too.

 PLAYSWARM_BAD_ARGUMENT for another level; PLAYSWARM_IO in a program (in Rust) that has a log of its own already.

 # Safety
 `callback` may be called with `user_data` from another thread until it is ended; `error` is NULL or may be written.
 */
playswarm_code playswarm_set_log_callback(int32_t level,
                                          playswarm_log_callback callback,
                                          void *user_data,
                                          playswarm_finalizer finalizer,
                                          struct playswarm_error **error);

/*
 A level's name, such as "warn"; NULL for a number that is none. Never freed.
 */
const char *playswarm_log_level_name(int32_t level);

/*
 The torrent's name, UTF-8; it lives as long as the media. "" for NULL and for what is no live media. From any thread.
 */
const char *playswarm_media_name(const struct playswarm_media *media);

/*
 The torrent's info-hash: 20 bytes. From any thread.

 # Safety
 `info_hash` points to 20 bytes that may be written.
 */
playswarm_code playswarm_media_info_hash(const struct playswarm_media *media, uint8_t *info_hash);

/*
 How many files the torrent has, padding included: their numbers are 0 to one less. From any thread.

 # Safety
 `count` may be written.
 */
playswarm_code playswarm_media_file_count(const struct playswarm_media *media, size_t *count);

/*
 What a file is. `info->struct_size` is to be sizeof(playswarm_file_info) before the call; see playswarm_media_status. The
 strings in it live as long as the media. From any thread.

 PLAYSWARM_NO_SUCH_FILE.

 # Safety
 `info` points to `info->struct_size` bytes that may be written; `error` is NULL or may be written.
 */
playswarm_code playswarm_media_file(const struct playswarm_media *media,
                                    size_t file,
                                    struct playswarm_file_info *info,
                                    struct playswarm_error **error);

/*
 The file to play when the user names none: the largest that can be played. From any thread.

 PLAYSWARM_NO_SUCH_FILE where nothing can be played.

 # Safety
 `file` may be written; `error` is NULL or may be.
 */
playswarm_code playswarm_media_default_file(const struct playswarm_media *media,
                                            size_t *file,
                                            struct playswarm_error **error);

/*
 The file that a user means by a number, by its name, or by a part of its name that no other file has. From any thread.

 PLAYSWARM_NO_SUCH_FILE where there is none or more than one.

 # Safety
 `wanted` ends with a zero byte; `file` may be written; `error` is NULL or may be.
 */
playswarm_code playswarm_media_find_file(const struct playswarm_media *media,
                                         const char *wanted,
                                         size_t *file,
                                         struct playswarm_error **error);

/*
 Opens a reader of one file, at its start; any number may be open at once. Nothing is fetched before it is read. It has
 one reference, which the caller gives back with playswarm_stream_unref, and may outlive the media's and the session's
 handles. From any thread.

 PLAYSWARM_NO_SUCH_FILE.

 # Safety
 `stream` may be written; `error` is NULL or may be.
 */
playswarm_code playswarm_media_stream(struct playswarm_media *media,
                                      size_t file,
                                      struct playswarm_stream **stream,
                                      struct playswarm_error **error);

/*
 Starts fetching the beginning of a file before anybody reads it, so that a player finds it there. It ends by itself
 once somebody reads, or after half a minute. From any thread.
 */
playswarm_code playswarm_media_prefetch(struct playswarm_media *media,
                                       size_t file);

/*
 Fetches all of the torrent (1), read or not, or only what is read (0), as from the start. From any thread.
 */
playswarm_code playswarm_media_fetch_all(struct playswarm_media *media, int32_t on);

/*
 Dials a peer, such as "192.0.2.7:6881", "[2001:db8::7]:6881" or "peer.example:6881", whose name is looked up in the
 background. From any thread; it does not wait.

 PLAYSWARM_BAD_ARGUMENT for what is no address.

 # Safety
 `address` ends with a zero byte; `error` is NULL or may be written.
 */
playswarm_code playswarm_media_add_peer(struct playswarm_media *media,
                                        const char *address,
                                        struct playswarm_error **error);

/*
 Looks through the files that are in the folder and takes over every piece that is right: for files that playswarm did
 not write itself. Waits for that, until `canceller`, which may be NULL, is cancelled. `verified_bytes`, which may be NULL,
 gets the bytes of the pieces that are right. From any thread.

 PLAYSWARM_STORAGE, PLAYSWARM_CANCELLED, PLAYSWARM_CLOSED.

 # Safety
 `verified_bytes` and `error` are NULL or may be written.
 */
playswarm_code playswarm_media_check_files(struct playswarm_media *media,
                                           const struct playswarm_canceller *canceller,
                                           uint64_t *verified_bytes,
                                           struct playswarm_error **error);

/*
 Waits until all that is verified is on disk, until `canceller`, which may be NULL, is cancelled. From any thread.

 PLAYSWARM_DISK_FULL or PLAYSWARM_STORAGE where it cannot be written, PLAYSWARM_CANCELLED.

 # Safety
 `error` is NULL or may be written.
 */
playswarm_code playswarm_media_sync(struct playswarm_media *media,
                                    const struct playswarm_canceller *canceller,
                                    struct playswarm_error **error);

/*
 Takes one more reference. From any thread.
 */
playswarm_code playswarm_media_ref(struct playswarm_media *media);

/*
 Gives a reference back. Its strings and its event callback end with the last one; the torrent stays open while streams
 of it are. NULL is no mistake. From any thread, callbacks too.
 */
playswarm_code playswarm_media_unref(struct playswarm_media *media);

/*
 Starts a session: listens, joins the DHT. `abi_version` is PLAYSWARM_ABI_VERSION of the header that the caller was
 compiled with. `config` may be NULL for the defaults; it is copied. The session has one reference, which the caller
 gives back with playswarm_session_unref. From any thread; it waits for sockets only.

 PLAYSWARM_BAD_ARGUMENT where this library does not have that ABI, PLAYSWARM_BAD_CONFIG for settings that do not fit
 each other, PLAYSWARM_LISTEN, PLAYSWARM_STORAGE where the folder cannot be used.

 # Safety
 `session` may be written; `error` is NULL or may be.
 */
playswarm_code playswarm_session_new(uint32_t abi_version,
                                     const struct playswarm_config *config,
                                     struct playswarm_session **session,
                                     struct playswarm_error **error);

/*
 Opens what a user typed: a magnet link, 40 hexadecimal digits, a path or URL of a torrent file; UTF-8. It waits until
 it is known what is in the torrent (a magnet link must find a peer first), for at most `timeout_ms` milliseconds
 unless that is 0, until `canceller`, which may be NULL, is cancelled, and never for longer than the setting
 "metadata_timeout_ms" for peers. The media has one reference, which the caller gives back with playswarm_media_unref. A
 torrent that is open already is shared. From any thread.

 PLAYSWARM_BAD_SOURCE, PLAYSWARM_BAD_TORRENT, PLAYSWARM_FETCH, PLAYSWARM_NO_METADATA, PLAYSWARM_STORAGE,
 PLAYSWARM_TIMED_OUT, PLAYSWARM_CANCELLED, PLAYSWARM_CLOSED.

 # Safety
 `source` ends with a zero byte; `media` may be written; `error` is NULL or may be.
 */
playswarm_code playswarm_session_open(struct playswarm_session *session,
                                      const char *source,
                                      uint64_t timeout_ms,
                                      const struct playswarm_canceller *canceller,
                                      struct playswarm_media **media,
                                      struct playswarm_error **error);

/*
 Like playswarm_session_open for the path of a torrent file, whatever the path looks like (it need not be UTF-8).

 # Safety
 `path` ends with a zero byte; `media` may be written; `error` is NULL or may be.
 */
playswarm_code playswarm_session_open_file(struct playswarm_session *session,
                                           const char *path,
                                           uint64_t timeout_ms,
                                           const struct playswarm_canceller *canceller,
                                           struct playswarm_media **media,
                                           struct playswarm_error **error);

/*
 Like playswarm_session_open for the bytes of a torrent file, which are copied.

 # Safety
 `torrent` points to `length` bytes; `media` may be written; `error` is NULL or may be.
 */
playswarm_code playswarm_session_open_bytes(struct playswarm_session *session,
                                            const uint8_t *torrent,
                                            size_t length,
                                            uint64_t timeout_ms,
                                            const struct playswarm_canceller *canceller,
                                            struct playswarm_media **media,
                                            struct playswarm_error **error);

/*
 Like playswarm_session_open for a bare info-hash: 20 bytes. Its peers must be found by the DHT, on the local network,
 or be given in the setting "peers".

 # Safety
 `info_hash` points to 20 bytes; `media` may be written; `error` is NULL or may be.
 */
playswarm_code playswarm_session_open_info_hash(struct playswarm_session *session,
                                                const uint8_t *info_hash,
                                                uint64_t timeout_ms,
                                                const struct playswarm_canceller *canceller,
                                                struct playswarm_media **media,
                                                struct playswarm_error **error);

/*
 The port on which peers can connect to this session. From any thread.

 # Safety
 `port` may be written.
 */
playswarm_code playswarm_session_port(const struct playswarm_session *session, uint16_t *port);

/*
 Stops all: what waits in any thread, and all later reads and opens, end with PLAYSWARM_CLOSED, and what is verified is
 written, which this waits for. Handles stay alive until they are released. A second call does nothing. From any thread,
 callbacks too.

 # Safety
 `error` is NULL or may be written.
 */
playswarm_code playswarm_session_close(struct playswarm_session *session,
                                       struct playswarm_error **error);

/*
 Takes one more reference. From any thread.
 */
playswarm_code playswarm_session_ref(struct playswarm_session *session);

/*
 Gives a reference back. The session itself ends when its last reference and all its medias and streams are gone; that
 last release waits (up to 10 s) for what is verified to be written. NULL is no mistake. From any thread, callbacks too.
 */
playswarm_code playswarm_session_unref(struct playswarm_session *session);

/*
 A snapshot of what the torrent is doing. `status->struct_size` is to be set before the call. From any thread.

 PLAYSWARM_BAD_ARGUMENT where `struct_size` is smaller than it ever was.

 # Safety
 `status` points to `status->struct_size` bytes that may be written; `error` is NULL or may be written.
 */
playswarm_code playswarm_media_get_status(const struct playswarm_media *media,
                                          struct playswarm_media_status *status,
                                          struct playswarm_error **error);

/*
 All that is known of the torrent, with its peers and readers, as a JSON object (docs/HTTP.md lists its fields), to be
 freed with playswarm_string_free. From any thread.

 # Safety
 `json` may be written; `error` is NULL or may be.
 */
playswarm_code playswarm_media_status_json(const struct playswarm_media *media,
                                           char **json,
                                           struct playswarm_error **error);

/*
 Why nothing can be fetched at the moment (a full disk, no peers), as a sentence to be freed with playswarm_string_free; NULL
 where all is well. From any thread.

 # Safety
 `trouble` may be written.
 */
playswarm_code playswarm_media_trouble(const struct playswarm_media *media,
                                       char **trouble);

/*
 The state of each piece, one character a piece and no zero at the end: '#' here, '+' being fetched, '.' missing. Up to
 `capacity` of them are put into `map`, which may be NULL if that is 0; `pieces` gets how many pieces there are. From any
 thread.

 # Safety
 `map` points to `capacity` bytes that may be written; `pieces` may be written; `error` is NULL or may be.
 */
playswarm_code playswarm_media_piece_map(const struct playswarm_media *media,
                                         char *map,
                                         size_t capacity,
                                         size_t *pieces,
                                         struct playswarm_error **error);

/*
 Reads from the position on and moves it. Waits until at least one byte is here and verified, puts up to `capacity` bytes into
 `buffer` and their number into `read`: 0 at the end of the file, and for a capacity of 0. It gives what is there and no more,
 which is often less than `capacity`. From any thread; a seek from another one makes a read that waits go on from there.

 PLAYSWARM_CANCELLED after playswarm_stream_cancel, PLAYSWARM_CLOSED after playswarm_session_close, PLAYSWARM_STORAGE where what
 is on disk cannot be read. Nothing has moved then.

 # Safety
 `buffer` points to `capacity` bytes that may be written, or is NULL and that is 0; `read` may be written; `error` is NULL or may be.
 */
playswarm_code playswarm_stream_read(struct playswarm_stream *stream,
                                     void *buffer,
                                     size_t capacity,
                                     size_t *read,
                                     struct playswarm_error **error);

/*
 Moves to `offset` bytes from the file's start, the position or the file's end (`whence`: PLAYSWARM_SEEK_SET, _CUR, _END). It
 never waits for data. Past the end is no mistake, and reads there give nothing. `position`, which may be NULL, gets where the stream is then.
 From any thread.

 PLAYSWARM_BAD_ARGUMENT for a place before the start or beyond INT64_MAX; nothing has moved then.

 # Safety
 `position` and `error` are NULL or may be written.
 */
playswarm_code playswarm_stream_seek(struct playswarm_stream *stream,
                                     int64_t offset,
                                     int32_t whence,
                                     uint64_t *position,
                                     struct playswarm_error **error);

/*
 Bytes of the file. From any thread.

 # Safety
 `size` may be written.
 */
playswarm_code playswarm_stream_size(const struct playswarm_stream *stream, uint64_t *size);

/*
 The next byte that will be read. From any thread.

 # Safety
 `position` may be written.
 */
playswarm_code playswarm_stream_position(const struct playswarm_stream *stream, uint64_t *position);

/*
 How many bytes from `position` on can be read without waiting for the swarm; 0 past the end. It never waits. From any
 thread.

 # Safety
 `readable` may be written.
 */
playswarm_code playswarm_stream_readable_at(const struct playswarm_stream *stream,
                                            uint64_t position,
                                            uint64_t *readable);

/*
 Tells the media's rate in bytes per second, where the player knows it: what must come when follows from it. Measured from the
 reads otherwise. From any thread.

 PLAYSWARM_BAD_ARGUMENT for what is no positive number.
 */
playswarm_code playswarm_stream_set_rate(struct playswarm_stream *stream,
                                         double bytes_per_s);

/*
 Ends the reads and time seeks that wait, and all later ones at once, with PLAYSWARM_CANCELLED, until playswarm_stream_reset.
 From any thread.
 */
playswarm_code playswarm_stream_cancel(struct playswarm_stream *stream);

/*
 Lets a stream that was cancelled be read again. From any thread.
 */
playswarm_code playswarm_stream_reset(struct playswarm_stream *stream);

/*
 1 while the stream is cancelled, else 0; 0 for NULL and for what is no live stream. From any thread.
 */
int32_t playswarm_stream_is_cancelled(const struct playswarm_stream *stream);

/*
 Calls back at once, whenever more can be read from the position than could, after each seek and cancel, and when the session
 is closed: look with playswarm_stream_readable_at and read what is there. It makes nobody fetch anything; the first read does.
 There is one callback a stream; the rules for replacing it, for NULL, `user_data` and `finalizer` are those of
 playswarm_media_set_event_callback. From any thread, callbacks too.

 # Safety
 `callback` may be called with `user_data` from another thread until it is ended; `error` is NULL or may be written.
 */
playswarm_code playswarm_stream_set_readable_callback(struct playswarm_stream *stream,
                                                      playswarm_readable_callback callback,
                                                      void *user_data,
                                                      playswarm_finalizer finalizer,
                                                      struct playswarm_error **error);

/*
 A descriptor (an eventfd) for poll, select or epoll that becomes readable at the times at which
 playswarm_stream_set_readable_callback would call back. Read 8 bytes from it, then look with playswarm_stream_readable_at. It is the
 same at each call, and is closed with the stream: do not close it. Linux only. From any thread.

 # Safety
 `fd` may be written; `error` is NULL or may be.
 */
playswarm_code playswarm_stream_eventfd(struct playswarm_stream *stream,
                                        int32_t *fd,
                                        struct playswarm_error **error);

/*
 Takes one more reference. From any thread.
 */
playswarm_code playswarm_stream_ref(struct playswarm_stream *stream);

/*
 Gives a reference back. What it wanted is not fetched any more once the last one is gone; reads of it in other threads
 still end as they would. NULL is no mistake. From any thread, callbacks too.
 */
playswarm_code playswarm_stream_unref(struct playswarm_stream *stream);

/*
 What a file says of its time. Waits until its index is read from the swarm, which happens once, until `canceller`, which may be
 NULL, is cancelled. `info->struct_size` is to be set before the call. From any thread.

 PLAYSWARM_NO_SUCH_FILE, PLAYSWARM_STORAGE, PLAYSWARM_CANCELLED, PLAYSWARM_CLOSED. A file without an index is no mistake: it gets an estimate.

 # Safety
 `info` points to `info->struct_size` bytes that may be written; `error` is NULL or may be written.
 */
playswarm_code playswarm_media_get_time(struct playswarm_media *media,
                                        size_t file,
                                        const struct playswarm_canceller *canceller,
                                        struct playswarm_time_info *info,
                                        struct playswarm_error **error);

/*
 Moves to the keyframe at or before a time, in microseconds from the film's start; one past the end is the end's. With the file's index
 at hand it waits for nothing; else for that, or for the few bytes that tell, until playswarm_stream_cancel. `landing`, which may be
 NULL, gets where it came down; its `struct_size` is to be set before the call. From any thread.

 PLAYSWARM_BAD_ARGUMENT for a negative time, PLAYSWARM_CANCELLED, PLAYSWARM_CLOSED, PLAYSWARM_STORAGE; nothing has moved then.

 # Safety
 `landing` is NULL or points to `landing->struct_size` bytes that may be written; `error` is NULL or may be written.
 */
playswarm_code playswarm_stream_seek_time(struct playswarm_stream *stream,
                                          int64_t time_us,
                                          struct playswarm_landing *landing,
                                          struct playswarm_error **error);

/*
 The time that is played at the position, in microseconds from the film's start; -1 while the file's time is not known (playswarm_media_get_time
 and playswarm_stream_seek_time find it out). It never waits. From any thread.

 # Safety
 `time_us` may be written.
 */
playswarm_code playswarm_stream_time(const struct playswarm_stream *stream,
                                     int64_t *time_us);

#ifdef __cplusplus
}  // extern "C"
#endif  // __cplusplus

#endif  /* PLAYSWARM_H */
