# Owns the applications that talk to the manager; sourced before it starts, so they find it when it comes.

listeners() { # subscribers, how many of them never read
    /lmkd/listeners "$1" "$2" > /run/listeners.out 2>&1 3>&- 4>&- &
    LISTENERS=$!
}

listeners_told() { # one record: what they were told, and how late (microseconds)
    sed -n 's/^notice \([a-z]*\) \(-*[0-9]*\) \(-*[0-9]*\) \([0-9]*\)$/{"level": "\1", "first_us": \2, "last_us": \3, "readers": \4}/p' \
        /run/listeners.out | paste -s -d , > /run/told
    alive=false
    kill -0 "$LISTENERS" 2> /dev/null && alive=true
    emit "{\"kind\": \"talk\", \"step\": \"listeners\", \"alive\": $alive, \"first\": \"$(head -n 1 /run/listeners.out)\", \"told\": [$(cat /run/told)]}"
}

cache() { # its options
    choom -n 950 -- /lmkd/cache --priority cached "$@" > /run/cache.out 2>&1 3>&- 4>&- &
    CACHE=$!
}

cache_told() { # one record: is it alive, what it did
    alive=false
    kill -0 "$CACHE" 2> /dev/null && alive=true
    emit "{\"kind\": \"talk\", \"step\": \"cache\", \"alive\": $alive, \"dropped\": $(grep -c dropped /run/cache.out), \"said\": \"$(tr '\n' ';' < /run/cache.out | tr -d '"')\"}"
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
