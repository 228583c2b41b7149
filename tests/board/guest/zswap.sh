# Owns the life of a zswap store: filled, limit changed, guard killed, started again, taken down; sourced by main.sh.
# Each step is one record of kind "zswap".
PARAMETERS=/sys/module/zswap/parameters
COUNTERS=/sys/kernel/debug/zswap

zswap_is() { # step, more fields as JSON
    parameters=$(cd $PARAMETERS && for name in *; do echo "\"$name\": \"$(cat "$name")\""; done | paste -s -d , -)
    counters=$(cd $COUNTERS && for name in pool_limit_hit reject_alloc_fail reject_compress_poor written_back_pages stored_pages; do
        echo "\"$name\": $(cat $name)"
    done | paste -s -d , -)
    switch=$(cat /sys/fs/cgroup/memory.zswap.writeback 2> /dev/null || echo null)
    swaps=$(awk 'NR > 1 { print "\"" $1 "\"" }' /proc/swaps | paste -s -d , -)
    maps=$(ls -d /sys/block/dm-* 2> /dev/null | wc -l)
    sized=$(cat /sys/block/zram*/disksize 2> /dev/null | grep -vc '^0$')
    emit "{\"kind\": \"zswap\", \"step\": \"$1\", ${2:+$2, }\"parameters\": {$parameters}, \"counters\": {$counters}, \"writeback\": $switch, \"swaps\": [$swaps], \"maps\": $maps, \"sized\": $sized, \"notes\": \"$(ls /run/lmkd 2> /dev/null | paste -s -d ' ' -)\"}"
}

says() { # word; has the keeper said it by now?
    kill -USR1 "$KEEPER"
    left=100
    while [ $left -gt 0 ]; do
        lines=$(grep -cE 'intact|lost' /run/keeper.out)
        [ "$lines" -gt "$ASKED" ] && break
        left=$((left - 1))
        sleep 0.1
    done
    ASKED=$lines
    tail -n 1 /run/keeper.out | grep -qx intact && echo true || echo false
}

store_keeper() { # MB to page out
    echo "$1M" > /sys/fs/cgroup/keeper/memory.reclaim
}

zswap_life() {
    status=$(lmkd store status --json)
    zswap_is loaded "\"status\": $status"
    mkdir /sys/fs/cgroup/keeper
    sh -c 'echo $$ > /sys/fs/cgroup/keeper/cgroup.procs; exec /lmkd/keeper 24' > /run/keeper.out 3>&- 4>&- &
    KEEPER=$!
    ASKED=0
    until grep -q filled /run/keeper.out; do sleep 0.1; done
    store_keeper 10
    percent=$(cat $PARAMETERS/max_pool_percent)
    echo 1 > $PARAMETERS/max_pool_percent # below what it holds: from here on every page is refused
    store_keeper 10
    zswap_is shut
    echo "$percent" > $PARAMETERS/max_pool_percent
    store_keeper 10
    zswap_is opened "\"intact\": $(says)"
    store_keeper 20
    kill -9 "$MANAGER_PID"
    wait "$MANAGER_PID"
    LOG=/var/log/second.log
    start_manager lmkd run
    wait_ready 30 notify
    zswap_is adopted "\"intact\": $(says)"
    store_keeper 20
    kill -TERM "$MANAGER_PID"
    wait "$MANAGER_PID"
    lmkd store down > /run/down.out 2>&1
    code=$?
    cat /run/down.out
    zswap_is down "\"exit\": $code, \"intact\": $(says)"
    lmkd_events
}
