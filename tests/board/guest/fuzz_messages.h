/* Owns what a hostile client says: messages of chance for both control sockets, made in ``message``; their length is
 * returned. They name no process but ``decoy``, and what would end it, or read the configuration anew, cannot be valid.
 */
#include <arpa/inet.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>

enum { HUGE = 60000 };

static char message[HUGE + 8];
static uint64_t chance_state;

static uint32_t chance(uint32_t below)
{
    chance_state ^= chance_state << 13;
    chance_state ^= chance_state >> 7;
    chance_state ^= chance_state << 17;
    return (uint32_t)(chance_state >> 20) % below;
}

#define COUNT(list) (sizeof(list) / sizeof *(list))
#define PICK(list) (list)[chance(COUNT(list))]

/* Native. */

enum { LIGHT = 6 }; /* what takes the service long comes before that one, and seldom */
static const char *whole[] = {
    "{\"v\":1,\"op\":\"status\",\"id\":7}", "{\"v\":1,\"op\":\"candidates\"}", "{\"v\":1,\"op\":\"policy\",\"id\":\"x\"}",
    "{\"v\":1,\"op\":\"tmpfs\"}", "{\"v\":1,\"op\":\"metrics\"}", "{\"v\":1,\"op\":\"events\",\"since\":0}",
    "{\"v\":1,\"op\":\"events\",\"follow\":true,\"names\":[\"kill\",\"*\"]}", "{\"v\":1,\"op\":\"unsubscribe\"}",
    "{\"v\":1,\"op\":\"subscribe\",\"levels\":true,\"events\":[\"*\"],\"text\":false}",
    "{\"v\":1,\"op\":\"subscribe\",\"text\":true}",
    "{\"v\":1,\"op\":\"register\",\"pid\":%d,\"name\":\"fuzz\",\"priority\":\"cached\",\"group\":\"g\",\"trim\":true}",
    "{\"v\":1,\"op\":\"register\",\"pid\":%d,\"priority\":950,\"freeze\":false}", "{\"v\":1,\"op\":\"clear\",\"pid\":%d}",
    "{\"v\":1,\"op\":\"set\",\"pid\":%d,\"priority\":1000}", "{\"v\":1,\"op\":\"unregister\",\"pid\":%d}",
    "{\"v\":1,\"op\":\"trim\",\"pid\":%d,\"kib\":64}",
};
static const char *ops[] = {
    "status", "candidates", "policy", "metrics", "unsubscribe", "subscribe", "register", "unregister", "set", "clear", "kill",
    "reload", "", "STATUS", "none",
};
static const char *fields[] = {"pid", "priority", "name", "group", "trim", "id", "since", "follow", "names", "v", "text"};
static const char *values[] = {
    "0", "-1", "1", "4194305", "9223372036854775807", "18446744073709551616", "-99999999999999999999999999", "1e999",
    "1.5", "NaN", "-Infinity", "null", "true", "[]", "{}", "[[[[[[1]]]]]]", "\"\"", "\"cached\"", "\"\\u0000\"",
    "\"\\ud800\"", "\"\xff\xfe\"", "\"\xed\xa0\x80\"", "[\"*\",5]", "{\"pid\":{\"pid\":1}}", "\"1\"", "0x10", "01", "-0",
};
static const char *odd[] = {"\"", "\\u0000", "\xff\xfe", "\xed\xa0\x80", "NaN", ",", "{}", "//", "\x01", "\\", "\t\n"};

static size_t repeated(const char *what, size_t times)
{
    size_t at = 0, size = strlen(what);
    while (times-- && at + size < HUGE)
        memcpy(message + at, what, size), at += size;
    return at;
}

static size_t inserted(size_t size, const char *what, size_t times)
{
    static char rest[HUGE];
    size_t at = chance((uint32_t)size), tail = size - at, one = strlen(what);
    memcpy(rest, message + at, tail);
    while (times-- && at + one + tail < HUGE)
        memcpy(message + at, what, one), at += one;
    memcpy(message + at, rest, tail);
    return at + tail;
}

static size_t native_message(int decoy)
{
    static const uint32_t sizes[] = {1, 2, 7, 100, 4095, 4096, 4097, 9000, HUGE};
    size_t size;
    uint32_t kind = chance(12);
    if (kind == 0) {
        size = PICK(sizes);
        for (size_t i = 0; i < size; i++)
            message[i] = (char)chance(256);
        return size;
    }
    if (kind == 1)
        return repeated(chance(2) ? "[" : "{\"v\":", 1 + chance(4000));
    if (kind <= 4) { /* a field that is wrong, missing, of another request, or there twice */
        const char *op = PICK(ops), *field = *op == 'r' ? "pid" : PICK(fields); /* not the sender itself; no reload */
        bool twice = chance(4) == 0;
        return (size_t)sprintf(message, "{\"v\":1,\"op\":\"%s\",\"%s\":%s%s%s%s%s}", op, field, PICK(values),
                               twice ? ",\"" : "", twice ? field : "", twice ? "\":" : "", twice ? PICK(values) : "");
    }
    size = (size_t)sprintf(message, chance(4) ? whole[LIGHT + chance(COUNT(whole) - LIGHT)] : PICK(whole), decoy);
    if (kind == 5)
        return chance((uint32_t)size) + 1;
    if (kind == 6)
        return inserted(size, PICK(odd), 1);
    if (kind == 7)
        return inserted(size, chance(2) ? "[" : "9", 400 + chance(2000));
    if (kind == 8)
        return memset(message + size, 0, 3), size + 1 + chance(3);
    if (kind <= 10)
        for (uint32_t n = 1 + chance(5); n; n--) {
            char *at = &message[chance((uint32_t)size)], to = (char)chance(256);
            if (!(*at >= '0' && *at <= '9') && !(to >= '0' && to <= '9')) /* no other process */
                *at = to;
        }
    return size;
}

/* Android's. */

static int32_t odd_number(int decoy)
{
    static const int32_t numbers[] = {0, -1, INT32_MIN, INT32_MAX, 1 << 22, 1001, -1001, 1 << 24, 0x01000000};
    if (chance(3) == 0)
        return decoy;
    return chance(3) ? PICK(numbers) : (int32_t)(chance(1 << 30) * 4 + 1000000);
}

static size_t android_message(int decoy, bool root)
{
    static const uint32_t counts[12] = {2, 3, 1, 0, 2, 1, 2, 0, 15, 0, 0, 4};
    uint32_t kind = chance(8), command = chance(12), count = counts[command], words[64], size;
    if (kind == 0) {
        static const uint32_t sizes[] = {1, 3, 5, 63, 64, 65, 68, 4096, HUGE};
        size = PICK(sizes);
        for (size_t i = 0; i < size; i++)
            message[i] = (char)chance(256);
        return size;
    }
    if (command == 1 || command == 11)
        count = (command == 1 ? 1 : 1 + chance(3)) * (command == 1 ? 3 + chance(3) : 4 + chance(2));
    if (command == 0)
        count = 2 * (1 + chance(6));
    if (kind == 1)
        count = chance(17);
    if (kind == 2)
        command = chance(2) ? 12 + chance(8) : (uint32_t)odd_number(decoy);
    if (command == 7 && root && !count)
        count = 1;
    words[0] = htonl(command);
    for (uint32_t i = 1; i <= count; i++)
        words[i] = htonl((uint32_t)(kind == 3 ? odd_number(decoy) : i % 4 == 3 ? (int32_t)chance(1001) : (int32_t)chance(3)));
    if ((command == 1 || command == 2 || command == 11) && kind != 3)
        for (uint32_t i = 1; i <= count; i += command == 11 ? (count % 5 ? 4 : 5) : count)
            words[i] = htonl((uint32_t)decoy);
    size = 4 * (1 + count);
    memcpy(message, words, size);
    return kind == 4 && command != 7 ? 1 + chance(size) : size;
}
