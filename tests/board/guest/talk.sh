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
