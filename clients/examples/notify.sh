#!/bin/sh
# notify.sh: do something when memory gets short, with nothing but a shell: it reads the file that lmkd keeps.
#
#     notify.sh COMMAND [ARGUMENT...]
#
# runs COMMAND with LEVEL and PREVIOUS in its environment at each change of the level (calm, low, moderate, critical),
# one after the other. It looks once a second (LMKD_POLL_S): for something quicker, or for a warning before a kill, see
# docs/clients.md. The file's one line:
#
#     level=moderate previous=low t_ms=81234 headroom_kib=8123 exhaustion_ms=850 end=moderate
#
# SPDX-License-Identifier: MIT
file=${LMKD_LEVEL_FILE:-/run/lmkd/level}
last=calm

if [ $# -eq 0 ]; then
    echo "usage: $0 COMMAND [ARGUMENT...]" >&2
    exit 2
fi

# The level in the file. Nothing: no file, no lmkd (it says unknown when it has stopped), or the line was read while it
# was written: then it does not end with the level that it begins with.
level() {
    first= end=
    read -r line 2>/dev/null < "$file" || return 0
    for word in $line; do
        case $word in
            level=*) first=${word#level=} ;;
            end=*) end=${word#end=} ;;
        esac
    done
    case $first in
        calm | low | moderate | critical) [ "$first" = "${end:-$first}" ] && echo "$first" ;;
    esac
}

while :; do
    now=$(level)
    if [ -n "$now" ] && [ "$now" != "$last" ]; then
        LEVEL=$now PREVIOUS=$last "$@" || echo "$0: $1 failed ($?)" >&2
        last=$now
    fi
    sleep "${LMKD_POLL_S:-1}"
done
