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

/* Send a request if there is a connection: a queue that is full is a connection lost, all is asked for again then. */
static void say(struct lmkd *lmkd, const char *request, size_t size)
{
    if (lmkd->fd >= 0 && size > 0 && send(lmkd->fd, request, size, MSG_NOSIGNAL | MSG_DONTWAIT) < 0)
        lose(lmkd);
}

int lmkd_reconnect(struct lmkd *lmkd)
{
    struct sockaddr_un address = {.sun_family = AF_UNIX};
    if (!lmkd->open)
        return -EBADF;
    if (lmkd->fd >= 0)
        return 0;
    memcpy(address.sun_path, lmkd->path, sizeof lmkd->path);
    int fd = socket(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
    if (fd < 0 || connect(fd, (struct sockaddr *)&address, sizeof address) != 0) {
        int error = errno;
        if (fd >= 0)
            close(fd);
        put_off(lmkd);
        return -error;
    }
    lmkd->fd = fd;
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

static bool is_number(const char *text)
{
    struct slice slice = {text, strlen(text)};
    return number_of(slice) != LMKD_UNKNOWN && memchr(text, '.', slice.size) == NULL;
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
    if (wanted->priority != NULL && is_number(wanted->priority))
        put_number(&out, ",\"priority\":", number_of((struct slice){wanted->priority, strlen(wanted->priority)}));
    else
        put_member(&out, ",\"priority\":", wanted->priority);
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
