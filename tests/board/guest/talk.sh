# Owns the applications that talk to the manager; sourced before it starts, so they find it when it comes.

listeners() { # how many, how many of them never read, what they ask for (listeners.c)
    choom -n 0 -- /lmkd/listeners "$1" "$2" "$3" > /run/listeners.out 2>&1 3>&- 4>&- &
    LISTENERS=$!
}

listeners_told() { # one record: what they were told, how late (microseconds); what guard, helper, talker have run
    alive=false
    run_ms=$(for pid in $(manager_pids); do awk '{ printf "%.0f\n", $1 / 1e6 }' "/proc/$pid/schedstat"; done | paste -s -d , -)
    kill -USR1 "$LISTENERS" 2> /dev/null && alive=true
    wait "$LISTENERS"
    said=$(grep -v '^{' /run/listeners.out | tr '\n' ';' | tr -d '"')
    emit "{\"kind\": \"talk\", \"step\": \"listeners\", \"alive\": $alive, \"run_ms\": [$run_ms], \"said\": \"$said\", \"told\": [$(grep '^{' /run/listeners.out | paste -s -d , -)]}"
}

cache() { # its options
    choom -n 950 -- /lmkd/cache "$@" > /run/cache.out 2>&1 3>&- 4>&- &
    CACHE=$!
}

in_python() { # its options
    python3 /lmkd/examples/cache.py "$@" > /run/python.out 2>&1 3>&- 4>&- &
    PYTHON=$!
}

thumbnails() { # MiB of them in memory, which a script deletes that looks at the level's file
    mkdir /tmp/thumbnails
    head -c "$1M" /dev/urandom > /tmp/thumbnails/all
    # shellcheck disable=SC2016  # for the shell that the script runs
    LMKD_POLL_S=0.3 sh /lmkd/examples/notify.sh sh -c '
        echo "$LEVEL"
        case $LEVEL in moderate | critical) rm -f /tmp/thumbnails/* ;; esac' > /run/script.out 2>&1 3>&- 4>&- &
    SCRIPT=$!
}

told() { # step, process, its lines: one record of whether it is alive, and what it said
    alive=false
    kill -0 "$2" 2> /dev/null && alive=true
    emit "{\"kind\": \"talk\", \"step\": \"$1\", \"alive\": $alive, \"said\": \"$(tr '\n' ';' < "$3" | tr -d '"')\"}"
}

cache_told() {
    told cache "$CACHE" /run/cache.out
}

others_told() {
    told python "$PYTHON" /run/python.out
    told script "$SCRIPT" /run/script.out
    told program $$ /run/hook.out
    emit "{\"kind\": \"talk\", \"step\": \"thumbnails\", \"left\": $(find /tmp/thumbnails -type f | wc -l)}"
}

ask() { # request and its arguments, by the C client: what was answered, then 0 or the error
    /lmkd/requests ask /run/lmkd/control 10000 "$@"
}

requests_told() { # each request once; the last one ends the Python application
    {
        ask status 0
        ask candidates 1
        ask set "$CACHE" 990
        ask clear "$CACHE"
        ask trim "$CACHE" 64
        ask kill 1
        ask kill "$PYTHON"
    } > /run/requests.out 2>&1
    sleep 1
    told requests "$PYTHON" /run/requests.out
}

saver() { # MiB: it has work to save
    choom -n 0 -- /lmkd/saver "$1" /run/work > /run/saver.out 2> /run/saver.err 3>&- 4>&- &
    SAVER=$!
}

registered() { grep -q registered "/run/$1.err"; }
logged() { grep -q "\"event\":\"$1\"" "$LOG"; }
said() { [ -s "/run/$1.out" ]; }

reload_under_it() { # its one connection is older than the configuration from here on
    came=$(until_true 100 registered saver)
    kill -HUP "$MANAGER_PID"
    emit "{\"kind\": \"talk\", \"step\": \"reload\", \"registered\": $came, \"reloaded\": $(until_true 150 logged reload)}"
}

saver_told() { # one record: what it was told, and its work; then one without a grace, of which its launcher is told
    /lmkd/saver 1 /run/none child > /run/launcher.out 2> /run/launcher.err 3>&- 4>&- &
    until_true 50 registered launcher > /dev/null
    HOLDER=$(sed -n 's/^registered //p' /run/launcher.err)
    lmkd kill --yes "$HOLDER" > /dev/null 2>&1
    until_true 50 said launcher > /dev/null
    until_true 50 said saver > /dev/null
    saved=false
    grep -q 'the work of an hour' /run/work 2> /dev/null && saved=true
    emit "{\"kind\": \"talk\", \"step\": \"saver\", \"pid\": $SAVER, \"saved\": $saved, \"said\": $(tail -n 1 /run/saver.out | grep . || echo null), \"holder\": ${HOLDER:-null}, \"launcher\": $(tail -n 1 /run/launcher.out | grep . || echo null)}"
}
