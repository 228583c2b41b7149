# Owns what deaths return of the store's memory, beside what was predicted; sourced by main.sh. The manager runs, and
# ends nobody but in returns_by_lmkd. The applications' pages lie in the store as weave.c put them there:
#   whole    one application after the other
#   pieces   128 KB of each in turn
#   pages    a page of each in turn: the worst for an allocator that packs several into a page
#   differ   pieces, but of applications that compress to 1.5, 2, 3 and 6
# What is free counts the pages on the processors' own lists (up to 5 MB here), which MemFree leaves out, and is taken
# once it holds still: what answers "lmkd ps" ends a while after its client.
APPS=20
SIZE_MB=6
STORE=/sys/block/zram0
PIECES=32

store_fields() { # of what it holds: uncompressed, compressed (null: the kernel does not tell), occupied
    if [ -e /sys/module/zswap/parameters/enabled ] && [ "$(cat /sys/module/zswap/parameters/enabled)" = Y ]; then
        awk '$1 == "Zswap:" { used = $2 } $1 == "Zswapped:" { orig = $2 }
            END { printf "\"orig_kib\": %d, \"compressed_kib\": null, \"used_kib\": %d", orig, used }' /proc/meminfo
    else
        awk '{ printf "\"orig_kib\": %d, \"compressed_kib\": %d, \"used_kib\": %d", $1 / 1024, $2 / 1024, $3 / 1024 }' $STORE/mm_stat
    fi
}

free_kib() {
    awk '$1 == "MemFree:" { free += $2 } $1 == "count:" { free += $2 * 4 } END { print free }' /proc/meminfo /proc/zoneinfo
}

memory() { # as a JSON object; the store's pages are no part of any other line
    awk -v store="$(store_fields)" '$1 == "MemFree:" { free += $2 } $1 == "count:" { free += $2 * 4 }
        /^(Slab|PageTables|KernelStack|AnonPages|Cached|Buffers):/ { sub(":", "", $1); other = other sprintf(", \"%s\": %d", $1, $2) }
        END { printf "{\"free_kib\": %d, %s%s}", free, store, other }' /proc/meminfo /proc/zoneinfo
}

hold_still() { # until free memory does
    tries=0 last=0 now=$(free_kib)
    while [ $tries -lt 20 ] && { [ $tries -lt 2 ] || [ $((now - last)) -gt 24 ] || [ $((last - now)) -gt 24 ]; }; do
        sleep 0.3
        last=$now now=$(free_kib) tries=$((tries + 1))
    done
}

compact() { # zram has a file for it; a zswap pool only has the kernel's shrinker, which frees other things as well
    if [ "$(cat /sys/module/zswap/parameters/enabled)" = Y ]; then
        echo 2 > /proc/sys/vm/drop_caches
    else
        echo 1 > $STORE/compact
    fi
}

gone() { # pids; once they are
    for pid in "$@"; do
        while [ -e "/proc/$pid/exe" ] && readlink "/proc/$pid/exe" > /dev/null; do sleep 0.02; done
    done
    sleep 0.2
}

weave() { # arrangement; the manager looks at the applications before they are stored, as it does when memory gets short
    case $1 in
        whole) set -- 0 3 ;;
        pieces) set -- $PIECES 3 ;;
        pages) set -- 1 3 ;;
        differ) set -- $PIECES 1.5 2 3 6 ;;
    esac
    for look in 1 2 3 4 5 6; do lmkd ps; done > /dev/null 3>&- 4>&- &
    PIDS=$(/lmkd/weave 8 $APPS $SIZE_MB "$@")
    wait $!
    sleep 1
}

predictions() { # pids; the sum of what "lmkd ps" says that their deaths return
    lmkd ps --json | awk -v pids=" $* " '/"pid":/ { sub(",", "", $2); mine = index(pids, " " $2 " ") }
        mine && /"gain_kib":/ { sum += $2 } END { print sum + 0 }'
}

end_them() { # kind, arrangement, pids; a record of memory before, at once, and after compaction
    kind=$1 arrangement=$2
    shift 2
    predicted=$(predictions "$@")
    echo 2 > /proc/sys/vm/drop_caches # what compaction would free of other things is freed before
    hold_still
    before=$(memory)
    status=$(awk '/^(RssAnon|VmSwap|VmPTE):/ { sub(":", "", $1); printf "%s\"%s\": %d", sep, $1, $2; sep = ", " }' /proc/$1/status)
    kill -KILL "$@"
    gone "$@"
    at_once=$(memory)
    compact
    hold_still
    emit "{\"kind\": \"$kind\", \"arrangement\": \"$arrangement\", \"deaths\": $#, \"predicted_kib\": $predicted, \"status\": {$status}, \"before\": $before, \"at_once\": $at_once, \"after\": $(memory)}"
}

every_second() { # pids of one half, beginning with the $1-th
    skip=$1
    shift
    for pid in "$@"; do
        [ "$skip" -eq 0 ] && echo "$pid"
        skip=$((1 - skip))
    done
}

returns_of() { # arrangement, how many die together, how many after them one by one
    weave "$1"
    others=$PIDS
    if [ "$2" -gt 0 ]; then
        end_them half "$1" $(every_second 0 $PIDS)
        others=$(every_second 1 $PIDS)
    fi
    left=$3
    for pid in $others; do
        [ $left -gt 0 ] && end_them death "$1" "$pid"
        left=$((left - 1))
    done
    kill -KILL $PIDS 2> /dev/null
    gone $PIDS
}

returns_by_lmkd() { # it ends them itself, one by one, because another application grows: its receipts are the records
    weave differ
    modprobe brd rd_nr=1 rd_size=114688
    dd if=/dev/zero of=/dev/ram0 bs=1M 2> /dev/null # pages that nothing can take back: most of what is left
    sync
    echo 1 > /proc/sys/vm/drop_caches
    run_load --seconds 30 --seed 1 --grow rate=3M,limit=0,compress=1,adj=200,delay=1
    kill -KILL $PIDS 2> /dev/null
}
