/* lmkd.h: hear of memory pressure from lmkd, and register with it. C99, needs libc only; copy it with lmkd.c.
 *
 *     struct lmkd lmkd;
 *     struct lmkd_event event;
 *
 *     lmkd_open(&lmkd, NULL);
 *     lmkd_register(&lmkd, &(struct lmkd_registration){.name = "player", .priority = "background"});
 *     lmkd_subscribe(&lmkd, true, NULL);
 *     for (;;) {
 *         struct pollfd waits = {.fd = lmkd_fd(&lmkd), .events = POLLIN};
 *         poll(&waits, 1, lmkd_timeout_ms(&lmkd));
 *         while (lmkd_next(&lmkd, &event))
 *             if (event.kind == LMKD_LEVEL && event.level >= LMKD_MODERATE)
 *                 free_what_can_be_made_again();
 *     }
 *
 * Nothing here allocates memory, starts a thread, touches a signal (nor raises SIGPIPE) or exits, and nothing blocks but
 * lmkd_wait and the requests at the end, each for a time that the caller gives. It works without lmkd too: then nothing
 * is heard, and what was registered and subscribed is asked for when lmkd comes, and again whenever it was restarted.
 *
 * Threads: one struct lmkd is for one thread at a time; there is no other state, and the requests may come from any.
 * After fork a child that goes on with it gets a connection of its own at its next call, on which it registers itself
 * as well; one that has no use for it calls lmkd_close, which changes nothing for the parent.
 *
 * SPDX-License-Identifier: MIT
 *
 * Copyright (c) 2026 The lmkd authors
 *
 * Permission is hereby granted, free of charge, to any person obtaining a copy of this software and associated
 * documentation files (the "Software"), to deal in the Software without restriction, including without limitation the
 * rights to use, copy, modify, merge, publish, distribute, sublicense, and/or sell copies of the Software, and to
 * permit persons to whom the Software is furnished to do so, subject to the following conditions:
 *
 * The above copyright notice and this permission notice shall be included in all copies or substantial portions of the
 * Software.
 *
 * THE SOFTWARE IS PROVIDED "AS IS", WITHOUT WARRANTY OF ANY KIND, EXPRESS OR IMPLIED, INCLUDING BUT NOT LIMITED TO THE
 * WARRANTIES OF MERCHANTABILITY, FITNESS FOR A PARTICULAR PURPOSE AND NONINFRINGEMENT. IN NO EVENT SHALL THE AUTHORS OR
 * COPYRIGHT HOLDERS BE LIABLE FOR ANY CLAIM, DAMAGES OR OTHER LIABILITY, WHETHER IN AN ACTION OF CONTRACT, TORT OR
 * OTHERWISE, ARISING FROM, OUT OF OR IN CONNECTION WITH THE SOFTWARE OR THE USE OR OTHER DEALINGS IN THE SOFTWARE.
 */
#ifndef LMKD_H
#define LMKD_H

#include <stdbool.h>
#include <stddef.h>

#ifdef __cplusplus
extern "C" {
#endif

#define LMKD_SOCKET "/run/lmkd/control"
#define LMKD_UNKNOWN (-9223372036854775807LL - 1) /* a number that was not told: never 0 */

enum lmkd_level { LMKD_CALM, LMKD_LOW, LMKD_MODERATE, LMKD_CRITICAL };

enum lmkd_kind {
    LMKD_NOTHING,
    LMKD_LEVEL,         /* the level changed; also first on each connection: the level there is */
    LMKD_ABOUT_TO_KILL, /* this process (or the one registered) is being ended: save what matters, in grace_ms */
    LMKD_RECORD,        /* a record that was subscribed by name */
    LMKD_REGISTERED,    /* the registration is in force, with this priority */
    LMKD_REFUSED,       /* lmkd said no: name is the request, text why */
    LMKD_GONE           /* lmkd went away; it is looked for again by itself */
};

struct lmkd_event {
    enum lmkd_kind kind;
    enum lmkd_level level;    /* LEVEL */
    enum lmkd_level previous; /* LEVEL */
    long long headroom_kib;   /* LEVEL, or LMKD_UNKNOWN */
    long long exhaustion_ms;  /* LEVEL: until memory is used up at its present rate; LMKD_UNKNOWN: it is not */
    long long grace_ms;       /* ABOUT_TO_KILL, or LMKD_UNKNOWN: until SIGKILL */
    long long dropped;        /* so many notices before this one were lost: this process did not read */
    int pid;                  /* ABOUT_TO_KILL, REGISTERED, RECORD; 0: none */
    int priority;             /* REGISTERED: -1000..1000, the higher the sooner it dies */
    char name[64];            /* ABOUT_TO_KILL: of the process; RECORD: of the record; REFUSED: of the request */
    char signal[16];          /* ABOUT_TO_KILL: such as "SIGTERM" */
    const char *text;         /* the whole line (cut at LMKD_MESSAGE_MAX), or the reason; good until the next call with
                               * this struct lmkd */
};

enum lmkd_choice { LMKD_UNSAID, LMKD_YES, LMKD_NO };

/* What is NULL or 0 is left to lmkd's own rules. */
struct lmkd_registration {
    int pid;              /* 0: this process */
    const char *name;
    const char *priority; /* "protected", "foreground", "visible", "service", "background", "cached", or a number */
    const char *group;
    enum lmkd_choice trim;   /* may be paged out when idle */
    enum lmkd_choice freeze; /* may be stopped for a while when it thrashes */
};

#define LMKD_REQUEST_MAX 1024
#define LMKD_MESSAGE_MAX 4096

/* One connection; its fields are private. The memory is the caller's. */
struct lmkd {
    int fd, owner;
    bool open, gone, levels;
    enum lmkd_level level;
    unsigned failures;
    long long due_ms, made_ms;
    size_t registration_size, subscription_size;
    char path[108];
    char registration[LMKD_REQUEST_MAX];
    char subscription[LMKD_REQUEST_MAX];
    char message[LMKD_MESSAGE_MAX + 1];
};

/* Begin; path NULL: LMKD_SOCKET. 0, or -errno: lmkd is not there (yet). That is no reason to stop: all calls below
 * work, and it is looked for again. -ENAMETOOLONG alone is for good. */
int lmkd_open(struct lmkd *lmkd, const char *path);

/* End. What was registered stays so until its process ends or lmkd_unregister. */
void lmkd_close(struct lmkd *lmkd);

/* Make this process known and give it a priority. To change it later say all of it again: the last call is what is
 * repeated after a restart of lmkd. 0, or -E2BIG: the strings are too long. */
int lmkd_register(struct lmkd *lmkd, const struct lmkd_registration *wanted);

/* Take that back. */
void lmkd_unregister(struct lmkd *lmkd);

/* From now on be told of levels, and of the records named in records ("kill,trim"; "*": all; NULL: none). 0 or -E2BIG. */
int lmkd_subscribe(struct lmkd *lmkd, bool levels, const char *records);

/* For an own poll loop: wait for POLLIN on lmkd_fd (-1 while lmkd is not there: poll passes over it) for
 * lmkd_timeout_ms at most (-1: no limit), then call lmkd_next until it is false. */
int lmkd_fd(const struct lmkd *lmkd);
int lmkd_timeout_ms(const struct lmkd *lmkd);

/* The next event; false: none now. Connects again when it is time. */
bool lmkd_next(struct lmkd *lmkd, struct lmkd_event *event);

/* For a thread of its own: as lmkd_next, but waits up to timeout_ms (-1: without end). */
bool lmkd_wait(struct lmkd *lmkd, struct lmkd_event *event, int timeout_ms);

/* Look for lmkd now, before lmkd_next would; 0 (also: is connected), or -errno. */
int lmkd_reconnect(struct lmkd *lmkd);

/* "calm", "low", "moderate", "critical". */
const char *lmkd_level_name(enum lmkd_level level);

/* One notice in the protocol's text form into event (text is line itself); LMKD_NOTHING: it is none. Pure. */
enum lmkd_kind lmkd_parse(const char *line, size_t size, struct lmkd_event *event);

/* Requests: each has a connection of its own, and waits for the answer up to timeout_ms (-1: without end). path NULL:
 * LMKD_SOCKET. They return 0 or
 *     -ENOENT, -ECONNREFUSED   lmkd is not there
 *     -EACCES                  no right to connect
 *     -EPERM                   lmkd said no
 *     -ETIMEDOUT               no answer in time
 *     -EPIPE                   it went away before the answer
 *     -EPROTO, -EMSGSIZE       the answer is not the protocol, or too long
 *     -E2BIG                   the request would be too long
 * or another -errno of socket, connect, send or recv. They take up to 17 KB of stack. */

struct lmkd_status {
    enum lmkd_level level;
    long long headroom_kib;  /* what memory can still take; LMKD_UNKNOWN here and below: not told */
    long long exhaustion_ms; /* until it is used up at its present rate; LMKD_UNKNOWN also: that is not in sight */
    long long rate_kib_s;    /* that rate */
    long long kills;         /* since lmkd started */
};

int lmkd_status(const char *path, struct lmkd_status *status, int timeout_ms);

struct lmkd_candidate {
    int order; /* 1 would be ended first */
    int pid;
    int priority; /* -1000 (never) .. 1000 */
    long long resident_kib, swapped_kib;
    long long gain_kib; /* what its end would return */
    char name[64];
    char class_name[16]; /* of its priority: "background" .. */
};

/* Calls each for every process, in the order in which they would be ended, until it returns false. buffer has size
 * bytes, LMKD_REPLY_MAX to be sure, and is used meanwhile. */
#define LMKD_REPLY_MAX 65537
int lmkd_candidates(const char *path, char *buffer, size_t size,
                    bool (*each)(const struct lmkd_candidate *candidate, void *context), void *context, int timeout_ms);

/* What became of an order: filled in with 0, and why with -EPERM. */
struct lmkd_answer {
    int pid;
    int priority, previous; /* of set and clear */
    char name[64];          /* of the process */
    char why[256];          /* lmkd's reason for saying no; else empty */
};

/* answer may be NULL. Who may do what is in docs/protocol.md. */
int lmkd_set(const char *path, int pid, const char *priority, struct lmkd_answer *answer, int timeout_ms);
int lmkd_clear(const char *path, int pid, struct lmkd_answer *answer, int timeout_ms);
/* pid 0: all that are idle; kib 0: all of it. */
int lmkd_trim(const char *path, int pid, long long kib, struct lmkd_answer *answer, int timeout_ms);
int lmkd_kill(const char *path, int pid, struct lmkd_answer *answer, int timeout_ms);

#ifdef __cplusplus
}
#endif

#endif
