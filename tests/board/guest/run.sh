#!/bin/sh
# The unit that stands for init.sh's second half: runs main.sh, reports how it ended, powers off.
exec 3> /dev/board-results 4> /dev/board-text
cd /tmp || exit 1
sh /lmkd/guest/main.sh < /dev/null >&4 2>&4
code=$?
dmesg | grep -E 'Out of memory: Killed|oom-kill:' | tail -40 >&4
echo "board: main.sh ended with $code" >&4
echo "{\"kind\": \"end\", \"exit\": $code, \"uptime_s\": $(cut -d ' ' -f 1 /proc/uptime)}" >&3
poweroff -f
