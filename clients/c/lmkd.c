/* lmkd.c: the C client of lmkd's control socket. What it does is in lmkd.h, the protocol in docs/protocol.md.
 *
 * Requests are JSON, written here; notices are asked for as text, so that only the short replies to the requests are
 * read as JSON, by a scanner that keeps nothing and does not recurse. No malloc: all state is in struct lmkd.
 *
 * SPDX-License-Identifier: MIT
 * Copyright (c) 2026 The lmkd authors; the text of the licence is in lmkd.h.
 */
#define _POSIX_C_SOURCE 200809L

#include "lmkd.h"

#include <errno.h>
#include <poll.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <time.h>
#include <unistd.h>

#define FIRST_DELAY_MS 200
#define MOST_DELAY_MS 10000
#define STABLE_MS 5000 /* a connection that held less does not count: an lmkd that starts and dies is not hammered */
#define AT_ONCE 64     /* messages of no interest passed over in one call */
#define BUSY_MS 10     /* between two attempts to connect to an lmkd whose queue is full */
#define NEVER_MS 3600000
#define ID_REGISTER 1
#define ID_SUBSCRIBE 2
#define ID_UNREGISTER 3

static const char *const levels[] = {"calm", "low", "moderate", "critical"};

/* Part of a message; at NULL: there is none. */
struct slice {
    const char *at;
    size_t size;
};

static bool is(struct slice slice, const char *text)
{
    return slice.at != NULL && slice.size == strlen(text) && memcmp(slice.at, text, slice.size) == 0;
}

static bool level_of(struct slice slice, enum lmkd_level *level)
{
    for (int i = LMKD_CALM; i <= LMKD_CRITICAL; i++)
        if (is(slice, levels[i])) {
            *level = (enum lmkd_level)i;
            return true;
        }
    return false;
}

/* A decimal number, its fraction cut off; LMKD_UNKNOWN for anything else and for what has over 18 digits. */
static long long number_of(struct slice slice)
{
    size_t i = 0;
    bool negative = slice.size > 0 && slice.at[0] == '-';
    long long number = 0;
    size_t first = negative ? 1 : 0;
    for (i = first; i < slice.size && slice.at[i] >= '0' && slice.at[i] <= '9'; i++) {
        if (i - first >= 18)
            return LMKD_UNKNOWN;
        number = number * 10 + (slice.at[i] - '0');
    }
    if (i == first || (i < slice.size && slice.at[i] != '.'))
        return LMKD_UNKNOWN;
    return negative ? -number : number;
}

static int int_of(struct slice slice)
{
    long long number = number_of(slice);
    return number > 2147483647LL || number < -2147483647LL ? 0 : (int)number;
}

/* Where the string ends whose opening quote is at: after the closing one; NULL: it does not end. */
static const char *string_end(const char *at, const char *end)
{
    for (at++; at < end; at++) {
        if (*at == '"')
            return at + 1;
        if (*at == '\\' && ++at == end)
            break;
    }
    return NULL;
}

/* The text of a value, quoted or not, into a bounded string. Escapes but of quotes and slashes, and control characters,
 * become '?': it can be printed as it is. */
static void copy(char *to, size_t room, struct slice from)
{
    size_t size = 0;
    bool quoted = from.size >= 2 && from.at[0] == '"';
    size_t end = quoted ? from.size - 1 : from.size;
    for (size_t i = quoted ? 1 : 0; i < end && size + 1 < room; i++) {
        char byte = from.at[i];
        if (quoted && byte == '\\' && i + 1 < end) {
            byte = from.at[++i];
            if (byte == 'u')
                i += i + 4 < end ? 4 : end - 1 - i;
            if (byte != '"' && byte != '\\' && byte != '/')
                byte = '?';
        }
        to[size++] = (unsigned char)byte < 0x20 || byte == 0x7F ? '?' : byte;
    }
    to[size] = '\0';
}

/* ---- Text: key=value and bare words with spaces between; a value may be a quoted string. ---- */

static bool next_word(const char **at, const char *end, struct slice *key, struct slice *value)
{
    const char *start = *at;
    const char *equals = NULL;
    while (start < end && (*start == ' ' || *start == '\n'))
        start++;
    if (start == end)
        return false;
    for (*at = start; *at < end && **at != ' ' && **at != '\n'; (*at)++) {
        if (equals == NULL && **at == '=') {
            equals = *at;
            if (*at + 1 < end && (*at)[1] == '"') {
                const char *after = string_end(*at + 1, end);
                if (after == NULL)
                    return false;
                *at = after;
                break;
            }
        }
    }
    key->at = start;
    key->size = (size_t)((equals != NULL ? equals : *at) - start);
    value->at = equals != NULL ? equals + 1 : NULL;
    value->size = equals != NULL ? (size_t)(*at - equals - 1) : 0;
    return true;
}

static void clear(struct lmkd_event *event)
{
    memset(event, 0, sizeof *event);
    event->headroom_kib = event->exhaustion_ms = event->grace_ms = LMKD_UNKNOWN;
    event->text = "";
}

static enum lmkd_kind kind_of(struct slice key, struct slice value, struct lmkd_event *event)
{
    if (is(key, "level"))
        return level_of(value, &event->level) ? LMKD_LEVEL : LMKD_NOTHING;
    if (is(key, "about_to_kill"))
        return LMKD_ABOUT_TO_KILL;
    if (!is(key, "event") || value.size == 0)
        return LMKD_NOTHING;
    copy(event->name, sizeof event->name, value);
    return LMKD_RECORD;
}

enum lmkd_kind lmkd_parse(const char *line, size_t size, struct lmkd_event *event)
{
    const char *at = line;
    const char *end = line + size;
    struct slice key, value;
    clear(event);
    if (!next_word(&at, end, &key, &value))
        return LMKD_NOTHING;
    event->kind = kind_of(key, value, event);
    event->text = line;
    while (event->kind != LMKD_NOTHING && next_word(&at, end, &key, &value)) {
        if (is(key, "dropped"))
            event->dropped = number_of(value) > 0 ? number_of(value) : 0;
        else if (is(key, "pid"))
            event->pid = int_of(value);
        else if (is(key, "headroom_kib"))
            event->headroom_kib = number_of(value);
        else if (is(key, "exhaustion_ms"))
            event->exhaustion_ms = number_of(value);
        else if (is(key, "grace_ms"))
            event->grace_ms = number_of(value);
        else if (is(key, "previous"))
            (void)level_of(value, &event->previous);
        else if (is(key, "name") && event->kind == LMKD_ABOUT_TO_KILL)
            copy(event->name, sizeof event->name, value);
        else if (is(key, "signal"))
            copy(event->signal, sizeof event->signal, value);
    }
    return event->kind;
}

/* ---- JSON, read: members of an object by name. ---- */

static const char *skip_space(const char *at, const char *end)
{
    while (at < end && (*at == ' ' || *at == '\t' || *at == '\n' || *at == '\r'))
        at++;
    return at;
}

/* Where the value at this place ends; NULL: nowhere. Brackets are counted, not matched. */
static const char *value_end(const char *at, const char *end)
{
    size_t depth = 0;
    while (at < end) {
        if (*at == '"') {
            at = string_end(at, end);
            if (at == NULL || depth == 0)
                return at;
            continue;
        }
        if (*at == '{' || *at == '[') {
            depth++;
        } else if (*at == '}' || *at == ']') {
            if (depth == 0)
                return at;
            if (--depth == 0)
                return at + 1;
        } else if (depth == 0 && (*at == ',' || *at == ' ' || *at == '\t' || *at == '\n' || *at == '\r')) {
            return at;
        }
        at++;
    }
    return depth == 0 ? at : NULL;
}

/* The value of the member called name of the object; at NULL: it has none, or is no object. */
static struct slice member(struct slice object, const char *name)
{
    struct slice none = {NULL, 0}, key, value;
    const char *at = object.at, *end;
    if (object.size == 0 || *at != '{')
        return none;
    end = at + object.size;
    for (at = skip_space(at + 1, end); at < end && *at == '"'; at = skip_space(at + 1, end)) {
        const char *after = string_end(at, end);
        if (after == NULL)
            return none;
        key.at = at + 1;
        key.size = (size_t)(after - at) - 2;
        at = skip_space(after, end);
        if (at == end || *at != ':')
            return none;
        value.at = skip_space(at + 1, end);
        after = value_end(value.at, end);
        if (after == NULL || after == value.at)
            return none;
        value.size = (size_t)(after - value.at);
        if (is(key, name))
            return value;
        at = skip_space(after, end);
        if (at == end || *at != ',')
            return none;
    }
    return none;
}

static struct slice unquoted(struct slice string)
{
    if (string.at != NULL && string.size >= 2 && string.at[0] == '"') {
        string.at++;
        string.size -= 2;
    }
    return string;
}

/* ---- JSON, written. ---- */

struct out {
    char *at;
    size_t size, room;
    bool full;
};

static void put(struct out *out, const char *text, size_t size)
{
    if (out->full || size > out->room - out->size) {
        out->full = true;
        return;
    }
    memcpy(out->at + out->size, text, size);
    out->size += size;
}

static void put_text(struct out *out, const char *text)
{
    put(out, text, strlen(text));
}

/* How many bytes the UTF-8 character at text has (RFC 3629); 0: it is none. Text ends with 0, which is no continuation. */
static size_t utf8_size(const unsigned char *text)
{
    unsigned char low = 0x80, high = 0xBF;
    size_t size = text[0] < 0x80 ? 1 : text[0] < 0xC2 ? 0 : text[0] < 0xE0 ? 2 : text[0] < 0xF0 ? 3 : 4;
    if (text[0] == 0xE0)
        low = 0xA0;
    else if (text[0] == 0xED)
        high = 0x9F;
    else if (text[0] == 0xF0)
        low = 0x90;
    else if (text[0] == 0xF4)
        high = 0x8F;
    else if (text[0] > 0xF4)
        return 0;
    for (size_t i = 1; i < size; i++, low = 0x80, high = 0xBF)
        if (text[i] < low || text[i] > high)
            return 0;
    return size;
}

static void put_string(struct out *out, const char *text, size_t size)
{
    static const char digits[] = "0123456789abcdef";
    const unsigned char *at = (const unsigned char *)text;
    const unsigned char *end = at + size;
    put(out, "\"", 1);
    while (at < end) {
        size_t character = utf8_size(at);
        if (character == 0 || character > (size_t)(end - at)) {
            put_text(out, "\\ufffd");
            at++;
            continue;
        }
        if (*at == '"' || *at == '\\') {
            put(out, "\\", 1);
            put(out, (const char *)at, 1);
        } else if (*at < 0x20 || *at == 0x7F) {
            char escape[6] = {'\\', 'u', '0', '0', digits[*at >> 4], digits[*at & 15]};
            put(out, escape, sizeof escape);
        } else {
            put(out, (const char *)at, character);
        }
        at += character;
    }
    put(out, "\"", 1);
}

static void put_member(struct out *out, const char *key, const char *text)
{
    if (text != NULL) {
        put_text(out, key);
        put_string(out, text, strlen(text));
    }
}

static void put_number(struct out *out, const char *key, long long number)
{
    char digits[24];
    size_t at = sizeof digits;
    unsigned long long left = number < 0 ? 0 - (unsigned long long)number : (unsigned long long)number;
    do
        digits[--at] = (char)('0' + left % 10);
    while ((left /= 10) != 0);
    if (number < 0)
        digits[--at] = '-';
    put_text(out, key);
    put(out, digits + at, sizeof digits - at);
}

static void put_choice(struct out *out, const char *key, enum lmkd_choice choice)
{
    if (choice != LMKD_UNSAID) {
        put_text(out, key);
        put_text(out, choice == LMKD_YES ? "true" : "false");
    }
}

/* A class, or a number in decimal; NULL: nothing. */
static void put_priority(struct out *out, const char *priority)
{
    struct slice slice = {priority, priority != NULL ? strlen(priority) : 0};
    if (priority != NULL && number_of(slice) != LMKD_UNKNOWN && memchr(priority, '.', slice.size) == NULL)
        put_number(out, ",\"priority\":", number_of(slice));
    else
        put_member(out, ",\"priority\":", priority);
}

static int kept(const struct out *out, size_t *size)
{
    *size = out->full ? 0 : out->size;
    return out->full ? -E2BIG : 0;
}

/* ---- The connection. ---- */

static long long now_ms(void)
{
    struct timespec now;
    clock_gettime(CLOCK_MONOTONIC, &now);
    return (long long)now.tv_sec * 1000 + now.tv_nsec / 1000000;
}

/* When to try again: twice the last delay, less up to a quarter by process id, so that not all come at once. */
static void put_off(struct lmkd *lmkd)
{
    long long delay_ms = MOST_DELAY_MS;
    if (lmkd->failures < 6 && (FIRST_DELAY_MS << lmkd->failures) < MOST_DELAY_MS)
        delay_ms = FIRST_DELAY_MS << lmkd->failures;
    if (lmkd->failures < 6)
        lmkd->failures++;
    lmkd->due_ms = now_ms() + delay_ms - delay_ms / 4 * (getpid() % 64) / 63;
}

static void lose(struct lmkd *lmkd)
{
    close(lmkd->fd);
    lmkd->fd = -1;
    lmkd->gone = true;
    if (now_ms() - lmkd->made_ms >= STABLE_MS)
        lmkd->failures = 0;
    put_off(lmkd);
}

/* In a child the connection is its parent's: answers would go to either. */
static void leave_parents(struct lmkd *lmkd)
{
    if (lmkd->fd >= 0 && lmkd->owner != (int)getpid()) {
        close(lmkd->fd);
        lmkd->fd = -1;
        lmkd->due_ms = 0;
    }
}

/* Send a request if there is a connection: a queue that is full is a connection lost, all is asked for again then. */
static void say(struct lmkd *lmkd, const char *request, size_t size)
{
    leave_parents(lmkd);
    if (lmkd->fd >= 0 && size > 0 && send(lmkd->fd, request, size, MSG_NOSIGNAL | MSG_DONTWAIT) < 0)
        lose(lmkd);
}

/* A connected descriptor, or -errno; -EAGAIN: the listener's queue is full (unix(7)). */
static int connect_to(const char *path)
{
    struct sockaddr_un address = {.sun_family = AF_UNIX};
    size_t size = strlen(path);
    if (size >= sizeof address.sun_path)
        return -ENAMETOOLONG;
    memcpy(address.sun_path, path, size);
    int fd = socket(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
    if (fd < 0 || connect(fd, (struct sockaddr *)&address, sizeof address) == 0)
        return fd < 0 ? -errno : fd;
    int error = errno;
    close(fd);
    return -error;
}

int lmkd_reconnect(struct lmkd *lmkd)
{
    if (!lmkd->open)
        return -EBADF;
    leave_parents(lmkd);
    if (lmkd->fd >= 0)
        return 0;
    int fd = connect_to(lmkd->path);
    if (fd < 0) {
        put_off(lmkd);
        return fd;
    }
    lmkd->fd = fd;
    lmkd->owner = (int)getpid();
    lmkd->made_ms = now_ms();
    say(lmkd, lmkd->registration, lmkd->registration_size);
    say(lmkd, lmkd->subscription, lmkd->subscription_size);
    return lmkd->fd >= 0 ? 0 : -EPIPE;
}

int lmkd_open(struct lmkd *lmkd, const char *path)
{
    memset(lmkd, 0, sizeof *lmkd);
    lmkd->fd = -1;
    if (path == NULL)
        path = LMKD_SOCKET;
    if (strlen(path) >= sizeof lmkd->path)
        return -ENAMETOOLONG;
    memcpy(lmkd->path, path, strlen(path));
    lmkd->open = true;
    return lmkd_reconnect(lmkd);
}

void lmkd_close(struct lmkd *lmkd)
{
    if (lmkd->fd >= 0)
        close(lmkd->fd);
    lmkd->fd = -1;
    lmkd->open = lmkd->gone = false;
}

int lmkd_register(struct lmkd *lmkd, const struct lmkd_registration *wanted)
{
    struct out out = {lmkd->registration, 0, sizeof lmkd->registration, false};
    put_text(&out, "{\"v\":1,\"op\":\"register\"");
    put_number(&out, ",\"id\":", ID_REGISTER);
    if (wanted->pid != 0)
        put_number(&out, ",\"pid\":", wanted->pid);
    put_member(&out, ",\"name\":", wanted->name);
    put_member(&out, ",\"group\":", wanted->group);
    put_priority(&out, wanted->priority);
    put_choice(&out, ",\"trim\":", wanted->trim);
    put_choice(&out, ",\"freeze\":", wanted->freeze);
    put_text(&out, "}");
    int error = kept(&out, &lmkd->registration_size);
    say(lmkd, lmkd->registration, lmkd->registration_size);
    return error;
}

void lmkd_unregister(struct lmkd *lmkd)
{
    char request[128];
    struct out out = {request, 0, sizeof request, false};
    struct slice registration = {lmkd->registration, lmkd->registration_size};
    struct slice pid = member(registration, "pid");
    put_text(&out, "{\"v\":1,\"op\":\"unregister\"");
    put_number(&out, ",\"id\":", ID_UNREGISTER);
    if (pid.at != NULL)
        put_number(&out, ",\"pid\":", int_of(pid));
    put_text(&out, "}");
    lmkd->registration_size = 0;
    say(lmkd, request, out.size);
}

int lmkd_subscribe(struct lmkd *lmkd, bool wants_levels, const char *records)
{
    struct out out = {lmkd->subscription, 0, sizeof lmkd->subscription, false};
    const char *comma = "";
    put_text(&out, "{\"v\":1,\"op\":\"subscribe\"");
    put_number(&out, ",\"id\":", ID_SUBSCRIBE);
    put_choice(&out, ",\"levels\":", wants_levels ? LMKD_YES : LMKD_NO);
    put_text(&out, ",\"text\":true,\"events\":[");
    while (records != NULL && *records != '\0') {
        size_t size = strcspn(records, ",");
        if (size > 0) {
            put_text(&out, comma);
            put_string(&out, records, size);
            comma = ",";
        }
        records += size + (records[size] == ',' ? 1 : 0);
    }
    put_text(&out, "]}");
    lmkd->levels = wants_levels;
    int error = kept(&out, &lmkd->subscription_size);
    say(lmkd, lmkd->subscription, lmkd->subscription_size);
    return error;
}

int lmkd_fd(const struct lmkd *lmkd)
{
    return lmkd->fd;
}

int lmkd_timeout_ms(const struct lmkd *lmkd)
{
    if (lmkd->gone)
        return 0;
    if (!lmkd->open || lmkd->fd >= 0)
        return -1;
    long long left_ms = lmkd->due_ms - now_ms();
    return left_ms <= 0 ? 0 : (int)left_ms;
}

/* A reply to one of the three requests; its number tells to which. */
static void read_reply(struct lmkd *lmkd, size_t size, struct lmkd_event *event)
{
    struct slice reply = {lmkd->message, size};
    long long number = number_of(member(reply, "id"));
    if (is(member(reply, "ok"), "false")) {
        static const char *const requests[] = {"", "register", "subscribe", "unregister"};
        const char *request = requests[number >= ID_REGISTER && number <= ID_UNREGISTER ? number : 0];
        struct slice error = member(reply, "error");
        memcpy(event->name, request, strlen(request) + 1);
        /* Into its own place: it only gets shorter. */
        copy(lmkd->message, sizeof lmkd->message, error);
        event->kind = LMKD_REFUSED;
        event->text = lmkd->message;
    } else if (number == ID_REGISTER) {
        struct slice made = member(reply, "registered");
        if (made.at != NULL) {
            event->kind = LMKD_REGISTERED;
            event->pid = int_of(member(made, "pid"));
            event->priority = int_of(member(made, "priority"));
        }
    } else if (number == ID_SUBSCRIBE && lmkd->levels) {
        struct slice level = unquoted(member(member(reply, "subscribed"), "level"));
        if (level_of(level, &event->level)) {
            event->kind = LMKD_LEVEL;
            event->previous = lmkd->level;
        }
    }
}

bool lmkd_next(struct lmkd *lmkd, struct lmkd_event *event)
{
    clear(event);
    leave_parents(lmkd);
    if (!lmkd->gone && lmkd->fd < 0) {
        if (!lmkd->open || lmkd->due_ms > now_ms() || lmkd_reconnect(lmkd) != 0)
            return false;
    }
    for (int i = 0; i < AT_ONCE && !lmkd->gone; i++) {
        ssize_t size = recv(lmkd->fd, lmkd->message, LMKD_MESSAGE_MAX, MSG_DONTWAIT);
        if (size < 0 && errno == EINTR)
            continue;
        if (size < 0 && (errno == EAGAIN || errno == EWOULDBLOCK))
            return false;
        if (size <= 0) {
            lose(lmkd);
            break;
        }
        lmkd->message[size] = '\0';
        if (lmkd->message[0] == '{')
            read_reply(lmkd, (size_t)size, event);
        else
            lmkd_parse(lmkd->message, (size_t)size, event);
        if (event->kind == LMKD_LEVEL)
            lmkd->level = event->level;
        if (event->kind != LMKD_NOTHING)
            return true;
    }
    if (!lmkd->gone)
        return false;
    lmkd->gone = false;
    event->kind = LMKD_GONE;
    event->text = "lmkd ended the connection";
    return true;
}

bool lmkd_wait(struct lmkd *lmkd, struct lmkd_event *event, int timeout_ms)
{
    long long end_ms = now_ms() + timeout_ms;
    while (!lmkd_next(lmkd, event)) {
        struct pollfd waits = {.fd = lmkd->fd, .events = POLLIN};
        int wait_ms = lmkd_timeout_ms(lmkd);
        if (timeout_ms >= 0) {
            long long left_ms = end_ms - now_ms();
            if (left_ms <= 0)
                return false;
            if (wait_ms < 0 || wait_ms > left_ms)
                wait_ms = (int)left_ms;
        }
        if (!lmkd->open || (poll(&waits, 1, wait_ms) < 0 && errno != EINTR))
            return false;
    }
    return true;
}

const char *lmkd_level_name(enum lmkd_level level)
{
    return level >= LMKD_CALM && level <= LMKD_CRITICAL ? levels[level] : "";
}

/* ---- Requests, each on a connection of its own. ---- */

/* One request under way: its connection, where its answer goes, and when that must be there; end_ms < 0: never. */
struct request {
    int fd;
    char *reply;
    size_t room;
    long long end_ms;
};

/* What is left of the time, for poll. */
static int left_ms(const struct request *request)
{
    long long left = request->end_ms < 0 ? -1 : request->end_ms - now_ms();
    return request->end_ms >= 0 && left < 0 ? 0 : (int)left;
}

/* The next message, ended by 0. Its size, or -errno. */
static ssize_t receive(const struct request *request)
{
    for (;;) {
        /* MSG_TRUNC: the size that it had, so that a part is not taken for the whole. */
        ssize_t size = recv(request->fd, request->reply, request->room - 1, MSG_DONTWAIT | MSG_TRUNC);
        if (size == 0 || (size < 0 && errno == ECONNRESET))
            return -EPIPE;
        if (size > 0 && (size_t)size >= request->room)
            return -EMSGSIZE;
        if (size > 0) {
            request->reply[size] = '\0';
            return size;
        }
        if (errno == EAGAIN || errno == EWOULDBLOCK) {
            struct pollfd waits = {.fd = request->fd, .events = POLLIN};
            int ready = poll(&waits, 1, left_ms(request));
            if (ready == 0)
                return -ETIMEDOUT;
            if (ready > 0)
                continue;
        }
        if (errno != EINTR)
            return -errno;
    }
}

/* Connect within the time and send. 0 or -errno; the connection is to be closed in both cases. */
static int begin(struct request *request, const char *path, const struct out *out, int timeout_ms)
{
    request->end_ms = timeout_ms < 0 ? -1 : now_ms() + timeout_ms;
    request->fd = -EAGAIN;
    if (out->full)
        return -E2BIG;
    while ((request->fd = connect_to(path != NULL ? path : LMKD_SOCKET)) == -EAGAIN) {
        int left = left_ms(request);
        if (left == 0)
            return -ETIMEDOUT;
        poll(NULL, 0, left < 0 || left > BUSY_MS ? BUSY_MS : left);
    }
    if (request->fd < 0)
        return request->fd;
    if (send(request->fd, out->at, out->size, MSG_NOSIGNAL | MSG_DONTWAIT) < 0)
        return errno == ECONNRESET ? -EPIPE : -errno;
    return 0;
}

/* The next answer's object. 0; -EPERM, with why (room of it) where it is not NULL; -EPROTO; or of receive. */
static int answer(const struct request *request, struct slice *object, char *why, size_t room)
{
    ssize_t size = receive(request);
    if (size < 0)
        return (int)size;
    object->at = request->reply;
    object->size = (size_t)size;
    if (is(member(*object, "ok"), "true"))
        return is(member(*object, "v"), "1") ? 0 : -EPROTO;
    if (!is(member(*object, "ok"), "false"))
        return -EPROTO;
    if (why != NULL)
        copy(why, room, member(*object, "error"));
    return -EPERM;
}

static int end(const struct request *request, int error)
{
    if (request->fd >= 0)
        close(request->fd);
    return error;
}

static void put_request(struct out *out, const char *op)
{
    put_text(out, "{\"v\":1");
    put_member(out, ",\"op\":", op);
    put_number(out, ",\"id\":", 1);
}

int lmkd_status(const char *path, struct lmkd_status *status, int timeout_ms)
{
    char text[64], reply[16384];
    struct out out = {text, 0, sizeof text, false};
    struct request request = {.reply = reply, .room = sizeof reply};
    struct slice object, forecast;
    memset(status, 0, sizeof *status);
    put_request(&out, "status");
    put_text(&out, "}");
    int error = begin(&request, path, &out, timeout_ms);
    if (error == 0)
        error = answer(&request, &object, NULL, 0);
    end(&request, error);
    if (error != 0)
        return error;
    object = member(object, "status");
    if (!level_of(unquoted(member(object, "level")), &status->level))
        return -EPROTO;
    forecast = member(object, "forecast");
    status->headroom_kib = number_of(member(member(object, "headroom"), "total_kib"));
    status->rate_kib_s = number_of(member(forecast, "rate_kib_s"));
    status->exhaustion_ms = number_of(member(forecast, "exhaustion_ms"));
    if (status->exhaustion_ms >= NEVER_MS)
        status->exhaustion_ms = LMKD_UNKNOWN;
    status->kills = number_of(member(object, "kills"));
    return 0;
}

/* Every row of a list; false: no more are wanted. */
static bool rows(struct slice list, bool (*each)(const struct lmkd_candidate *, void *), void *context)
{
    struct lmkd_candidate row;
    const char *at = list.at + 1, *end_at = list.at + list.size;
    for (at = skip_space(at, end_at); at < end_at && *at == '{'; at = skip_space(at + 1, end_at)) {
        const char *after = value_end(at, end_at);
        if (after == NULL)
            return true;
        struct slice object = {at, (size_t)(after - at)};
        row.order = int_of(member(object, "order"));
        row.pid = int_of(member(object, "pid"));
        row.priority = int_of(member(object, "priority"));
        row.resident_kib = number_of(member(object, "resident_kib"));
        row.swapped_kib = number_of(member(object, "swapped_kib"));
        row.gain_kib = number_of(member(object, "gain_kib"));
        copy(row.name, sizeof row.name, member(object, "name"));
        copy(row.class_name, sizeof row.class_name, member(object, "class"));
        if (!each(&row, context))
            return false;
        at = skip_space(after, end_at);
        if (at == end_at || *at != ',')
            break;
    }
    return true;
}

int lmkd_candidates(const char *path, char *buffer, size_t size,
                    bool (*each)(const struct lmkd_candidate *candidate, void *context), void *context, int timeout_ms)
{
    char text[64];
    struct out out = {text, 0, sizeof text, false};
    struct request request = {.reply = buffer, .room = size};
    struct slice object, list;
    if (size == 0)
        return -EMSGSIZE;
    put_request(&out, "candidates");
    put_text(&out, "}");
    int error = begin(&request, path, &out, timeout_ms);
    while (error == 0) {
        error = answer(&request, &object, NULL, 0);
        if (error != 0 || is(member(object, "end"), "true"))
            break;
        list = member(object, "candidates");
        if (list.at == NULL || *list.at != '[')
            error = -EPROTO;
        else if (!rows(list, each, context))
            break;
    }
    return end(&request, error);
}

/* Send what has been put into out, less its end, and read the object called result of the answer. */
static int order(const char *path, struct out *out, const char *result, struct lmkd_answer *told, int timeout_ms)
{
    char reply[LMKD_MESSAGE_MAX];
    struct lmkd_answer unwanted;
    struct request request = {.reply = reply, .room = sizeof reply};
    struct slice object;
    if (told == NULL)
        told = &unwanted;
    memset(told, 0, sizeof *told);
    put_text(out, "}");
    int error = begin(&request, path, out, timeout_ms);
    if (error == 0)
        error = answer(&request, &object, told->why, sizeof told->why);
    end(&request, error);
    if (error != 0)
        return error;
    object = member(object, result);
    if (object.at == NULL || *object.at != '{')
        return -EPROTO;
    told->pid = int_of(member(object, "pid"));
    told->priority = int_of(member(object, "priority"));
    told->previous = int_of(member(object, "previous"));
    copy(told->name, sizeof told->name, member(object, "name"));
    return 0;
}

int lmkd_set(const char *path, int pid, const char *priority, struct lmkd_answer *told, int timeout_ms)
{
    char text[256];
    struct out out = {text, 0, sizeof text, false};
    put_request(&out, "set");
    put_number(&out, ",\"pid\":", pid);
    put_priority(&out, priority);
    return order(path, &out, "set", told, timeout_ms);
}

int lmkd_clear(const char *path, int pid, struct lmkd_answer *told, int timeout_ms)
{
    char text[128];
    struct out out = {text, 0, sizeof text, false};
    put_request(&out, "clear");
    put_number(&out, ",\"pid\":", pid);
    return order(path, &out, "cleared", told, timeout_ms);
}

int lmkd_trim(const char *path, int pid, long long kib, struct lmkd_answer *told, int timeout_ms)
{
    char text[128];
    struct out out = {text, 0, sizeof text, false};
    put_request(&out, "trim");
    if (pid != 0)
        put_number(&out, ",\"pid\":", pid);
    if (kib != 0)
        put_number(&out, ",\"kib\":", kib);
    return order(path, &out, "trim", told, timeout_ms);
}

int lmkd_kill(const char *path, int pid, struct lmkd_answer *told, int timeout_ms)
{
    char text[128];
    struct out out = {text, 0, sizeof text, false};
    put_request(&out, "kill");
    put_number(&out, ",\"pid\":", pid);
    return order(path, &out, "kill", told, timeout_ms);
}
