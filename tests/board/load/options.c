/* Owns the command line: the options, their keys, defaults and limits. */
#include "load.h"

#include <ctype.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define BIT(kind) (1u << (kind))
#define HOGS (BIT(GROW) | BIT(RESPAWN))
#define IDLERS (BIT(SMALL) | BIT(BACKGROUND))
#define BEATERS (BIT(HEARTBEAT) | BIT(SWITCH))
#define FLOWS (HOGS | BIT(TMPFS) | BIT(CACHE))
#define ALL (BIT(KINDS) - 1)

struct key {
    const char *name;
    size_t offset;
    unsigned kinds;
    double least;
};

static const struct key keys[] = {
    {"n", offsetof(struct spec, n), IDLERS, 1},
    {"size", offsetof(struct spec, size), IDLERS | BIT(SWITCH), PAGE},
    {"anon", offsetof(struct spec, size), BIT(HEARTBEAT), PAGE},
    {"file", offsetof(struct spec, file), BEATERS, 0},
    {"rate", offsetof(struct spec, rate), FLOWS, 1},
    {"limit", offsetof(struct spec, limit), HOGS | BIT(TMPFS), 0},
    {"total", offsetof(struct spec, limit), BIT(CACHE), 0},
    {"compress", offsetof(struct spec, compress), ALL & ~BIT(CACHE), 1},
    {"period_ms", offsetof(struct spec, period_ms), BEATERS, 1},
    {"work_us", offsetof(struct spec, work_us), BEATERS, 0},
    {"trace_stop_ms", offsetof(struct spec, trace_stop_ms), BEATERS, 0},
    {"touch", offsetof(struct spec, touch), BEATERS, 1},
    {"file_touch", offsetof(struct spec, file_touch), BEATERS, 1},
    {"churn", offsetof(struct spec, churn), BEATERS, 0},
    {"touch_ms", offsetof(struct spec, touch_ms), HOGS | IDLERS, 0},
    {"pause_ms", offsetof(struct spec, pause_ms), BIT(RESPAWN), 0},
    {"delay", offsetof(struct spec, delay), FLOWS, 0},
    {"at", offsetof(struct spec, at), BIT(SWITCH), 0},
    {"at_adj", offsetof(struct spec, at_adj), BIT(SWITCH), -1000},
    {"unlink", offsetof(struct spec, unlink), BIT(TMPFS), 0},
    {"memfd", offsetof(struct spec, memfd), BIT(TMPFS), 0},
    {"sysv", offsetof(struct spec, sysv), BIT(TMPFS), 0},
    {"rotate", offsetof(struct spec, rotate), BIT(TMPFS), PAGE},
    {"ignore_term", offsetof(struct spec, ignore_term), ALL, 0},
    {"session", offsetof(struct spec, session), ALL, 0},
};

#define M *MIB
#define BEATING .n = 1, .size = 24 M, .period_ms = 20, .work_us = 1000, .touch = 10, .file_touch = 25
#define ADJ(value) .adj = value, .adj_last = value

static const struct spec defaults[KINDS] = {
    [SMALL] = {SMALL, "sm", "", .n = 150, .size = 1 M, .compress = 3, ADJ(900)},
    [BACKGROUND] = {BACKGROUND, "bg", "", .n = 8, .size = 12 M, .compress = 3, ADJ(900)},
    [SWITCH] = {SWITCH, "switch", "", BEATING, .compress = 3, .at = 10, .at_adj = ADJ_UNCHANGED, ADJ(900)},
    [HEARTBEAT] = {HEARTBEAT, "heartbeat", "", BEATING, .file = 7 M, .compress = 3, ADJ(0)},
    [GROW] = {GROW, "grow", "", .n = 1, .rate = 30 M, .compress = 3, .delay = 3, ADJ(200)},
    [TMPFS] = {TMPFS, "tmpfsw", "/tmp/load", .n = 1, .rate = 30 M, .limit = 280 M, .compress = 3, .delay = 3, ADJ(200)},
    [CACHE] = {CACHE, "cache", "", .n = 1, .rate = 30 M, .delay = 3, ADJ(200)},
    [RESPAWN] = {RESPAWN, "respawn", "", .n = 1, .rate = 100 M, .compress = 3, .delay = 3, .pause_ms = 50, ADJ(600)},
};

static const char *const option_names[KINDS] = {
    [SMALL] = "--small", [BACKGROUND] = "--background", [SWITCH] = "--switch", [HEARTBEAT] = "--heartbeat",
    [GROW] = "--grow", [TMPFS] = "--tmpfs", [CACHE] = "--cache", [RESPAWN] = "--respawn",
};

_Noreturn void fail(const char *what, const char *detail)
{
    fprintf(stderr, "load: %s: %s\n", what, detail);
    exit(2);
}

static double parse_number(const char *text, const char **rest)
{
    char *end;
    double value = strtod(text, &end);
    if (end == text)
        fail("not a number", text);
    if (*end == 'K' || *end == 'M' || *end == 'G') {
        value *= *end == 'K' ? 1024.0 : *end == 'M' ? MIB : 1024.0 * MIB;
        end++;
    }
    *rest = end;
    return value;
}

static double parse_whole(const char *text, double least)
{
    const char *rest;
    double value = parse_number(text, &rest);
    if (*rest || !(value >= least && value < 1e12))
        fail("value out of range", text);
    return value;
}

static void parse_adj(struct spec *spec, const char *text)
{
    char *rest;
    spec->adj = spec->adj_last = (double)strtol(text, &rest, 10);
    if (rest != text && strncmp(rest, "..", 2) == 0) {
        text = rest + 2;
        spec->adj_last = (double)strtol(text, &rest, 10);
    }
    if (rest == text || *rest || spec->adj < -1000 || spec->adj > 1000 ||
        spec->adj_last < -1000 || spec->adj_last > 1000)
        fail("adj must be -1000..1000, or FIRST..LAST", text);
}

static void copy_text(char *to, size_t size, const char *text)
{
    if (strlen(text) >= size)
        fail("too long", text);
    strcpy(to, text);
}

static void parse_name(struct spec *spec, const char *text)
{
    for (const char *c = text; *c; c++)
        if (!isalnum((unsigned char)*c) && !strchr("-_.", *c))
            fail("name may have letters, digits, - _ . only", text);
    if (!*text)
        fail("name", "is empty");
    copy_text(spec->name, NAME_SIZE - 5, text);
}

static bool parse_text_key(struct spec *spec, const char *name, const char *value)
{
    const char *path_key = spec->kind == TMPFS ? "dir" : "path";
    bool has_path = (BEATERS | BIT(TMPFS) | BIT(CACHE)) & BIT(spec->kind);
    if (strcmp(name, "adj") == 0)
        parse_adj(spec, value);
    else if (strcmp(name, "name") == 0)
        parse_name(spec, value);
    else if (has_path && strcmp(name, path_key) == 0)
        copy_text(spec->path, PATH_SIZE, value);
    else
        return false;
    return true;
}

static void parse_pair(struct spec *spec, char *pair)
{
    char *value = strchr(pair, '=');
    if (!value)
        fail("expected key=value", pair);
    *value++ = '\0';
    if (parse_text_key(spec, pair, value))
        return;
    for (size_t i = 0; i < sizeof keys / sizeof *keys; i++) {
        if (strcmp(keys[i].name, pair) != 0 || !(keys[i].kinds & BIT(spec->kind)))
            continue;
        *(double *)((char *)spec + keys[i].offset) = parse_whole(value, keys[i].least);
        return;
    }
    fail(option_names[spec->kind], pair);
}

static void parse_spec(struct plan *plan, enum kind kind, const char *text)
{
    char copy[512], *state = NULL;
    if (plan->count == MAX_SPECS)
        fail("too many options", option_names[kind]);
    struct spec *spec = &plan->specs[plan->count++];
    *spec = defaults[kind];
    copy_text(copy, sizeof copy, text);
    for (char *pair = strtok_r(copy, ",", &state); pair; pair = strtok_r(NULL, ",", &state))
        parse_pair(spec, pair);
    if (kind == CACHE && !*spec->path)
        fail("--cache", "needs path=FILE");
}

static enum kind find_kind(const char *option)
{
    for (int kind = 0; kind < KINDS; kind++)
        if (strcmp(option, option_names[kind]) == 0)
            return (enum kind)kind;
    fail("unknown option", option);
}

void options_parse(int argc, char **argv, struct plan *plan)
{
    plan->seconds = 20;
    plan->seed = 1;
    for (int i = 1; i < argc; i++) {
        const char *option = argv[i];
        const char *value = i + 1 < argc && strncmp(argv[i + 1], "--", 2) != 0 ? argv[++i] : "";
        if (strcmp(option, "--seconds") == 0)
            plan->seconds = parse_whole(value, 0.1);
        else if (strcmp(option, "--seed") == 0)
            plan->seed = (uint32_t)parse_whole(value, 0);
        else if (strcmp(option, "--sample") == 0)
            plan->sample_ms = parse_whole(value, 1);
        else
            parse_spec(plan, find_kind(option), value);
    }
    if (plan->seconds > 4000)
        fail("--seconds", "at most 4000");
}
