# Owns what deaths return of the store's memory, beside what was predicted; sourced by main.sh. The manager runs, and
# ends nobody: each of 20 applications is ended by hand, half of them one by one, as "lmkd ps" predicts its return.
APPS=20
SIZE_MB=8

# With what waits on the processors' own lists (up to 5 MB here), which MemFree leaves out.
free_kib() { awk '$1 == "MemFree:" { free += $2 } $1 == "count:" { free += $2 * 4 } END { print free }' /proc/meminfo /proc/zoneinfo; }
stat_kib() { awk '{ printf "\"orig_kib\": %d, \"compressed_kib\": %d, \"used_kib\": %d", $1 / 1024, $2 / 1024, $3 / 1024 }' /sys/block/zram0/mm_stat; }

settled() { # free memory once it holds still: what answered "lmkd ps" ends a while after its client
    tries=0 last=0 now=$(free_kib)
    while [ $tries -lt 20 ] && { [ $tries -lt 3 ] || [ $((now - last)) -gt 48 ] || [ $((last - now)) -gt 48 ]; }; do
        sleep 0.4
        last=$now now=$(free_kib) tries=$((tries + 1))
    done
    echo "$now"
}

start_apps() { # arrangement: whole (one application after the other is stored) or mixed (a little of each in turn)
    PIDS=
    index=0
    while [ $index -lt $APPS ]; do
        group=/sys/fs/cgroup/app$index
        mkdir -p $group
        sh -c 'echo $$ > "$0/cgroup.procs"; echo 900 > /proc/self/oom_score_adj; exec /lmkd/keeper "$1"' \
            $group $SIZE_MB > /run/app$index.out 3>&- 4>&- &
        PIDS="$PIDS $!"
        index=$((index + 1))
    done
    index=0
    while [ $index -lt $APPS ]; do
        until grep -q filled /run/app$index.out; do sleep 0.1; done
        index=$((index + 1))
    done
    rounds=1 piece=$((SIZE_MB * 1024))K
    [ "$1" = mixed ] && rounds=$((SIZE_MB * 8)) && piece=128K
    while [ $rounds -gt 0 ]; do
        index=0
        while [ $index -lt $APPS ]; do
            echo $piece > /sys/fs/cgroup/app$index/memory.reclaim
            index=$((index + 1))
        done
        rounds=$((rounds - 1))
    done 2> /dev/null
    sleep 2
}

predicted_kib() { # pid
    lmkd ps --json | python3 -c 'import json, sys
for row in json.load(sys.stdin):
    if row["pid"] == int(sys.argv[1]):
        print(row["gain_kib"])' "$1"
}

end_one() { # pid; a record of what came back at once, and by compaction
    predicted=$(predicted_kib "$1")
    before=$(stat_kib)
    free=$(settled)
    kill -KILL "$1"
    wait "$1" 2> /dev/null
    sleep 0.2
    at_once=$(($(free_kib) - free))
    after=$(stat_kib)
    echo 1 > /sys/block/zram0/compact
    returned=$(($(settled) - free))
    emit "{\"kind\": \"death\", \"arrangement\": \"$2\", \"predicted_kib\": ${predicted:-null}, \"at_once_kib\": $at_once, \"compacted_kib\": $returned, \"before\": {$before}, \"after\": {$after}, \"last\": {$(stat_kib)}}"
}

end_half() { # arrangement: every second one at once, then compaction
    before=$(stat_kib)
    free=$(settled)
    odd=0
    for pid in $PIDS; do
        odd=$((1 - odd))
        [ $odd -eq 1 ] && kill -KILL "$pid"
    done
    sleep 0.5
    at_once=$(($(free_kib) - free))
    after=$(stat_kib)
    echo 1 > /sys/block/zram0/compact
    emit "{\"kind\": \"half\", \"arrangement\": \"$1\", \"at_once_kib\": $at_once, \"compacted_kib\": $(($(settled) - free)), \"before\": {$before}, \"after\": {$after}, \"last\": {$(stat_kib)}}"
}

end_all() {
    for pid in $PIDS; do kill -KILL "$pid" 2> /dev/null; done
    wait $PIDS 2> /dev/null
    sleep 0.5
}

for arrangement in whole mixed; do
    start_apps $arrangement
    end_half $arrangement
    odd=0
    for pid in $PIDS; do
        odd=$((1 - odd))
        [ $odd -eq 0 ] && end_one "$pid" $arrangement
    done
    end_all
done
lmkd_events
